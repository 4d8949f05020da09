"""Queries over the wire: every kind for every table, pages to their end, and refusals."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import msgspec
import pytest

from projections.tables import TABLES as TABLES_BY_NAME
from tests.support.clock import NOW, Clock
from tests.support.patience import until
from tests.support.services.raw_nats import Message
from tests.support.services.serving import client_of, serving, set_keys
from tests.support.services.talking import Talk

KIB = 1024
MESSAGE_BYTES = 1024 * KIB
JOB: dict[str, Any] = {"type": "sync", "name": "acme/site"}

# How each table is asked for one row, and where a client finds the name of that row.
KEYS: dict[str, dict[str, Any]] = {
    "jobs": {"id": "job-1"},
    "rate_limits": {"platform": "github", "resource": "core", "identifier": "me"},
    "tool_configs": {"tool_name": "git/hub"},
    "app_state": {"key": "a:b/c"},
}
NAMES = {
    "jobs": "jobs/job-1",
    "rate_limits": "rate_limits/github:me:core",
    "tool_configs": "tool_configs/git/hub",
    "app_state": "app_state/a:b/c",
}
NOBODY: dict[str, dict[str, Any]] = {
    "jobs": {"id": "nobody"},
    "rate_limits": {"platform": "nobody"},
    "tool_configs": {"tool_name": "nobody"},
    "app_state": {"key": "nobody"},
}
# A command that makes version 1 of each row, and one that makes version 2 of it.
FIRST: dict[str, tuple[str, dict[str, Any]]] = {
    "jobs": ("jobs.enqueue", JOB | KEYS["jobs"] | {"payload": {"n": [1, None]}, "queue": "q"}),
    "rate_limits": ("rate_limits.observe", KEYS["rate_limits"] | {"limit": 5000, "remaining": 4000}),
    "tool_configs": ("tool_configs.set", KEYS["tool_configs"] | {"config": {"n": [1, None]}}),
    "app_state": ("app_state.set", KEYS["app_state"] | {"value": {"n": [1, None]}}),
}
SECOND: dict[str, tuple[str, dict[str, Any]]] = {
    "jobs": ("jobs.cancel", KEYS["jobs"] | {"reason": "not needed"}),
    "rate_limits": ("rate_limits.throttle", KEYS["rate_limits"] | {"until": NOW + 99}),
    "tool_configs": ("tool_configs.disable", KEYS["tool_configs"] | {"reason": "why not"}),
    "app_state": ("app_state.set", KEYS["app_state"] | {"value": "second"}),
}
LAST: dict[str, tuple[str, dict[str, Any]]] = {
    "rate_limits": ("rate_limits.clear", KEYS["rate_limits"]),
    "tool_configs": ("tool_configs.delete", KEYS["tool_configs"]),
    "app_state": ("app_state.delete", KEYS["app_state"]),
}
TABLES = tuple(KEYS)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    """A service with two versions of one row in each table, a second apart, and many other rows."""
    with Talk(tmp_path_factory.mktemp("queries"), clock=Clock()) as talk:
        for commands in (FIRST, SECOND):
            for name, body in commands.values():
                send(talk, name, body)
            talk.later(1000)
        items = [{"key": f"k{n:03}", "value": n} for n in range(250)]
        send(talk, "app_state.set_many", {"items": items})
        for number in range(25):
            job = {
                "id": f"j{number:02}",
                "queue": f"q{number % 2}",
                "type": f"t{number % 3}",
                "run_at": NOW * 2,
            } | ({"group_id": "g0"} if number % 5 == 0 else {})
            send(talk, "jobs.enqueue", JOB | job)
            send(talk, "tool_configs.set", {"tool_name": f"tool{number:02}", "enabled": number % 5 == 0})
            resource = {"resource": "core"} if number % 2 else {}
            send(talk, "rate_limits.observe", {"platform": f"p{number:02}", "remaining": number} | resource)
        yield talk


def send(talk: Talk, name: str, body: Any) -> dict[str, Any]:
    answer = talk.command(name, body)
    assert answer.code is None, answer.body
    said: dict[str, Any] = answer.said
    return said


def ask(talk: Talk, name: str, body: Any = b"{}") -> Any:
    answer = talk.query(name, body)
    assert answer.code is None, answer.body
    assert len(answer.body) < MESSAGE_BYTES
    return answer.said


def pages(talk: Talk, name: str, body: dict[str, Any]) -> Iterator[Any]:
    """Each page from the first to the last."""
    page = ask(talk, name, body)
    yield page
    while page["next"] is not None:
        page = ask(talk, name, body | {"after": page["next"]})
        yield page


# One row


def test_get_answers_with_the_row_its_json_decoded_and_where_it_stands(told: Talk):
    job = ask(told, "jobs.get", KEYS["jobs"])
    limit = ask(told, "rate_limits.get", KEYS["rate_limits"])
    config = ask(told, "tool_configs.get", KEYS["tool_configs"])
    entry = ask(told, "app_state.get", KEYS["app_state"])

    assert (job["status"], job["payload"], job["cancel_requested"]) == ("cancelled", {"n": [1, None]}, False)
    assert (limit["id"], limit["limit_remaining"]) == ("ratelimit:github:me:core", 4000)
    assert (config["enabled"], config["config"]) == (False, {"n": [1, None]})
    assert entry == {
        "key": "a:b/c",
        "value": "second",
        "updated_at": NOW + 1000,
        "version": 2,
        "position": 8,
        "expires_at": None,
    }
    assert [row["version"] for row in (job, limit, config)] == [2, 2, 2]
    assert [row["position"] for row in (job, limit, config)] == [5, 6, 7]


@pytest.mark.parametrize("table", TABLES)
def test_get_answers_with_the_columns_of_the_table_in_their_order(told: Talk, table: str):
    row = ask(told, f"{table}.get", KEYS[table])

    connection = apsw.Connection(str(told.settings.store_path), flags=apsw.SQLITE_OPEN_READONLY)
    columns = {column for _, column, *_ in connection.execute(f"PRAGMA table_info({table})")}
    connection.close()
    assert columns - left_out(table) <= set(row) <= columns


def left_out(table: str) -> set[str]:
    """The columns that are left out of a row where they hold nothing."""
    fields = msgspec.structs.fields(TABLES_BY_NAME[table].shape)
    return {field.name for field in fields if field.default is msgspec.UNSET}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("verb", ["get", "history", "as_of"])
def test_what_is_not_there_is_not_found(told: Talk, table: str, verb: str):
    moment = {"position": 5} if verb == "as_of" else {}

    assert told.query(f"{table}.{verb}", NOBODY[table] | moment).code == "not_found"


@pytest.mark.parametrize("table", LAST)
def test_what_was_deleted_is_gone_and_its_history_is_not(own: Talk, table: str):
    for commands in (FIRST, SECOND, LAST):
        send(own, *commands[table])

    assert own.query(f"{table}.get", KEYS[table]).code == "not_found"
    assert ask(own, f"{table}.list")["items"] == []
    assert ask(own, f"{table}.count") == {"count": 0}
    assert [event["version"] for event in ask(own, f"{table}.history", KEYS[table])["items"]] == [1, 2, 3]
    assert ask(own, f"{table}.as_of", KEYS[table] | {"position": 2})["version"] == 2
    assert own.query(f"{table}.as_of", KEYS[table] | {"position": 3}).code == "not_found"
    # The stream goes on where it was.
    assert send(own, *FIRST[table])["version"] == 4


# As it was


@pytest.mark.parametrize("table", TABLES)
def test_as_of_answers_with_the_row_as_it_was_then(told: Talk, table: str):
    now = ask(told, f"{table}.get", KEYS[table])
    second = now["position"]
    first = ask(told, f"{table}.as_of", KEYS[table] | {"position": second - 1})

    assert (first["version"], first["position"]) == (1, second - 4)
    assert [name for name in first if name not in left_out(table)] == [
        name for name in now if name not in left_out(table)
    ]
    for moment in ({"position": second}, {"position": 10**9}, {"time": NOW + 1000}, {"time": NOW * 10}):
        assert ask(told, f"{table}.as_of", KEYS[table] | moment) == now
    for moment in ({"position": first["position"]}, {"time": NOW}, {"time": NOW + 999}):
        assert ask(told, f"{table}.as_of", KEYS[table] | moment) == first
    for moment in ({"position": first["position"] - 1}, {"position": 0}, {"time": NOW - 1}, {"time": 0}):
        assert told.query(f"{table}.as_of", KEYS[table] | moment).code == "not_found"


@pytest.mark.parametrize(
    "moment",
    [{}, {"position": 1, "time": NOW}, {"position": -1}, {"position": "1"}, {"time": 1.5}, {"time": -1}],
)
def test_as_of_takes_one_moment(told: Talk, moment: Any):
    for table in TABLES:
        assert told.query(f"{table}.as_of", KEYS[table] | moment).code == "invalid"


def test_a_long_stream_is_known_as_of_each_of_its_versions(own: Talk):
    commands = [{"command": "app_state.set", "body": {"key": "k", "value": n}} for n in range(1, 351)]
    assert own.batch(*commands).code is None

    for position in (1, 99, 100, 101, 199, 200, 201, 349, 350):
        assert ask(own, "app_state.as_of", {"key": "k", "position": position})["value"] == position
    own.restart()
    assert ask(own, "app_state.as_of", {"key": "k", "position": 250})["value"] == 250
    assert send(own, "app_state.set", {"key": "k", "value": 0})["version"] == 351


# History


@pytest.mark.parametrize("table", TABLES)
def test_history_answers_with_the_events_of_the_stream(told: Talk, table: str):
    events = ask(told, f"{table}.history", KEYS[table])["items"]

    assert [event["subject"] for event in events] == [NAMES[table]] * 2
    assert [event["version"] for event in events] == [1, 2]
    for event in events:
        position = int(event["sequence"])
        assert ask(told, "events.read", {"after": position - 1, "limit": 1})["items"] == [event]
        row = told.rows[position - 1]
        assert event["id"] == f"1-{position}"
        assert event["specversion"] == "1.0"
        assert event["source"] == f"hyperpage/{told.status['store_id']}"
        assert event["type"] == f"hyperpage.{row.type}"
        assert event["datacontenttype"] == "application/json"
        assert event["hash"] == row.hash.hex()
        assert event["commandid"] == row.command_id
        assert event["data"] == json.loads(str(row.data))
    assert [event["time"] for event in events] == ["2027-01-15T08:00:00.000Z", "2027-01-15T08:00:01.000Z"]


def test_history_comes_in_pages_to_its_end(own: Talk):
    commands = [{"command": "app_state.set", "body": {"key": "k", "value": n}} for n in range(25)]
    own.batch(*commands)

    found = list(pages(own, "app_state.history", {"key": "k", "limit": 10}))

    assert [len(page["items"]) for page in found] == [10, 10, 5]
    assert [event["version"] for page in found for event in page["items"]] == list(range(1, 26))
    beyond = ask(own, "app_state.history", {"key": "k", "after": 25})
    assert beyond == {"items": [], "next": None}


# Lists


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("limit", [1, 7, 26, 1000])
def test_a_list_comes_in_pages_to_its_end_each_row_once_and_in_order(told: Talk, table: str, limit: int):
    if limit == 1 and table == "app_state":
        limit = 3

    found = list(pages(told, f"{table}.list", {"limit": limit}))

    rows = [row for page in found for row in page["items"]]
    keys = [next(iter(row.values())) for row in rows]
    assert keys == sorted(set(keys))
    assert len(rows) == ask(told, f"{table}.count")["count"] == (251 if table == "app_state" else 26)
    assert all(len(page["items"]) == limit for page in found[:-1])
    assert found[-1]["items"]
    # A row that is asked for by its key may have more columns than a listed one.
    one = ask(told, f"{table}.get", KEYS[table])
    listed = TABLES_BY_NAME[table].listed.__struct_fields__
    assert {name: value for name, value in one.items() if name in listed} in rows


def test_a_list_has_100_rows_where_nothing_is_said(told: Talk):
    page = ask(told, "app_state.list")

    assert len(page["items"]) == 100
    assert list(page) == ["items", "next"]


@pytest.mark.parametrize(
    ("table", "filters", "count"),
    [
        ("jobs", {"queue": "q0"}, 13),
        ("jobs", {"queue": "q1", "type": "t0"}, 4),
        ("jobs", {"status": "pending"}, 25),
        ("jobs", {"state": "scheduled"}, 25),
        ("jobs", {"status": "cancelled"}, 1),
        ("jobs", {"status": "timeout"}, 0),
        ("jobs", {"group_id": "g0", "queue": "q0"}, 3),
        ("jobs", {"worker": "nobody"}, 0),
        ("rate_limits", {"resource": "core"}, 13),
        ("rate_limits", {"platform": "p03"}, 1),
        ("rate_limits", {"platform": "github", "identifier": "me"}, 1),
        ("tool_configs", {"enabled": True}, 5),
        ("tool_configs", {"enabled": False, "notifications": True}, 21),
        ("tool_configs", {"notifications": False}, 0),
    ],
)
def test_filters_leave_what_matches_all_of_them(told: Talk, table: str, filters: Any, count: int):
    found = [row for page in pages(told, f"{table}.list", filters | {"limit": 4}) for row in page["items"]]

    assert len(found) == count
    assert ask(told, f"{table}.count", filters) == {"count": count}
    for row in found:
        assert {name: row[name] for name in filters} == filters


def test_a_list_ends_a_page_early_where_a_message_has_no_room_for_more(own: Talk):
    for number in range(30):
        send(own, "app_state.set", {"key": f"k{number:02}", "value": "\1" * (10 * KIB) + str(number)})

    found = list(pages(own, "app_state.list", {"limit": 1000}))

    assert len(found) > 1
    assert [row["key"] for page in found for row in page["items"]] == [
        f"k{number:02}" for number in range(30)
    ]
    assert all(len(page["items"]) > 10 for page in found[:-1])
    events = [event for page in pages(own, "events.read", {"limit": 1000}) for event in page["items"]]
    assert [event["sequence"] for event in events] == [str(number) for number in range(1, 31)]


def test_a_history_ends_a_page_early_where_a_message_has_no_room_for_more(own: Talk):
    for number in range(6):
        payload = {"pad": str(number) * (250 * KIB)}
        send(own, "tool_configs.set", {"tool_name": "large", "config": payload})

    found = list(pages(own, "tool_configs.history", {"tool_name": "large"}))

    assert [event["version"] for page in found for event in page["items"]] == [1, 2, 3, 4, 5, 6]
    assert [len(page["items"]) for page in found] == [3, 3]


def test_the_largest_row_that_there_can_be_is_answered(own: Talk):
    payload = json.dumps({"pad": ""}).encode()
    body = b'{"id":"large","type":"t","name":"n","payload":%s}' % payload
    body = body.replace(b'"pad": ""', b'"pad": "%s"' % (b"x" * (256 * KIB - len(body))))
    assert own.command("jobs.enqueue", body).code is None
    (job,) = send(own, "jobs.claim", {"worker": "w"})["result"]["jobs"]
    result = b'{"id":"large","lease":"%s","result":""}' % job["lease"].encode()
    result = result.replace(b'""', b'"%s"' % (b"y" * (256 * KIB - len(result))))
    assert own.command("jobs.complete", result).code is None

    row = own.query("jobs.get", {"id": "large"})

    assert 500 * KIB < len(row.body) < MESSAGE_BYTES
    [listed] = ask(own, "jobs.list")["items"]
    assert listed | {"traceback": None} == row.said
    assert ask(own, "jobs.as_of", {"id": "large", "position": 3}) == row.said


def test_a_claim_takes_only_the_jobs_that_fit_into_a_message(own: Talk):
    for number in range(12):
        send(own, "jobs.enqueue", JOB | {"id": f"j{number:02}", "payload": {"pad": "x" * 200 * KIB}})

    taken = []
    while jobs := send(own, "jobs.claim", {"worker": "w", "limit": 100})["result"]["jobs"]:
        taken.append([job["id"] for job in jobs])

    assert [len(jobs) for jobs in taken] == [4, 4, 4]
    assert [job for jobs in taken for job in jobs] == [f"j{number:02}" for number in range(12)]


def test_a_claim_takes_a_job_of_the_largest_size(own: Talk):
    body = b'{"id":"j","type":"t","name":"n","payload":{"p":""}}'
    body = body.replace(b'""', b'"%s"' % (b"x" * (256 * KIB - len(body))))
    assert own.command("jobs.enqueue", body).code is None

    (job,) = send(own, "jobs.claim", {"worker": "w" * 200, "limit": 100})["result"]["jobs"]

    assert job["id"] == "j"


# The log


def test_the_log_is_read_in_pages_to_its_head(told: Talk):
    found = list(pages(told, "events.read", {"limit": 100}))

    events = [event for page in found for event in page["items"]]
    assert [int(event["sequence"]) for event in events] == list(range(1, told.position + 1))
    assert [event["hash"] for event in events] == [row.hash.hex() for row in told.rows]
    assert {page["head"] for page in found} == {told.position}
    assert list(found[0]) == ["items", "next", "head", "store_id", "timelines"]


@pytest.mark.parametrize("table", TABLES)
def test_the_log_is_read_for_one_table(told: Talk, table: str):
    found = [e for page in pages(told, "events.read", {"table": table, "limit": 7}) for e in page["items"]]

    expected = [row for row in told.rows if row.stream.startswith(f"{table}/")]
    assert [event["sequence"] for event in found] == [str(row.position) for row in expected]


@pytest.mark.parametrize("table", TABLES)
def test_the_log_is_read_for_one_stream(told: Talk, table: str):
    found = [
        e for page in pages(told, "events.read", {"stream": NAMES[table], "limit": 1}) for e in page["items"]
    ]

    assert found == ask(told, f"{table}.history", KEYS[table])["items"]


def test_reading_behind_the_head_gives_nothing(told: Talk):
    for after in (told.position, told.position + 1, 2**62):
        assert ask(told, "events.read", {"after": after}) == {
            "items": [],
            "next": None,
            "head": told.position,
            "store_id": told.service.origin.store_id,
            "timelines": [[1, 1]],
        }


@pytest.mark.parametrize("name", ["events.read", "events.find"])
def test_a_table_that_there_is_not_is_refused_with_those_that_there_are(told: Talk, name: str):
    for asked, path in (({"table": "job"}, "$.table"), ({"stream": "job/job-1"}, "$.stream")):
        refused = told.query(name, asked)
        assert (refused.code, refused.said["error"]["details"]["path"]) == ("invalid", path)
        assert refused.said["error"]["details"]["did_you_mean"] == "jobs"
        assert all(table in refused.said["error"]["hint"] for table in (*TABLES, "system"))
    # A known table or stream without events has an empty page.
    for asked in ({"table": "system"}, {"stream": "jobs/nothing"}):
        assert ask(told, name, asked)["items"] == []


# Queries that are refused


@pytest.mark.parametrize(
    "name",
    [
        "jobs.explode",
        "cats.get",
        "jobs",
        "jobs.enqueue",
        "events.list",
        "system.get",
        "Jobs.get",
        "x" * 3000,
        "ü.ö",
    ],
)
def test_an_unknown_query_is_not_found(told: Talk, name: str):
    answer = told.query(name)

    assert answer.code == "not_found"
    assert answer.headers["Nats-Service-Error-Code"] == "404"


MALFORMED: list[tuple[str, Any]] = [
    ("jobs.get", b""),
    ("jobs.get", b"{"),
    ("jobs.get", b"null"),
    ("jobs.get", b"[]"),
    ("jobs.get", b"\xff"),
    ("jobs.get", b'{"id":"a","id":"b"}'),
    ("jobs.get", {"id": 1}),
    ("jobs.get", {"id": "../.."}),
    ("jobs.get", {"id": "a", "why": 1}),
    ("jobs.get", b'{"id":' + b"[" * 60_000),
    ("jobs.list", {"limit": 0}),
    ("jobs.list", {"limit": 1001}),
    ("jobs.list", {"limit": "1"}),
    ("jobs.list", b'{"limit":' + b"9" * 5000 + b"}"),
    ("jobs.list", {"after": 1}),
    ("jobs.list", {"where": "1=1"}),
    ("jobs.list", {"status": ""}),
    ("jobs.list", {"status": ["pending"]}),
    ("jobs.list", {"status": "no such status"}),
    ("jobs.list", {"state": "no such state"}),
    ("jobs.count", {"limit": 1}),
    ("jobs.count", {"status": 1}),
    ("jobs.history", {"id": "job-1", "after": -1}),
    ("jobs.history", {"id": "job-1", "limit": 1001}),
    ("rate_limits.get", {"platform": "a:b"}),
    ("rate_limits.get", {"platform": "a", "identifier": "b"}),
    ("tool_configs.list", {"enabled": 1}),
    ("app_state.get", {"key": "a b"}),
    ("app_state.list", {"after": None, "limit": None}),
    ("events.read", {"after": -1}),
    ("events.read", {"after": 2**63}),
    ("events.read", {"limit": 0}),
    ("events.read", {"table": "jobs", "stream": "jobs/job-1"}),
    ("events.read", {"stream": "x" * 301}),
    ("service.status", {"verbose": True}),
]


@pytest.mark.parametrize(("name", "body"), MALFORMED, ids=[f"{name} {str(b)[:30]}" for name, b in MALFORMED])
def test_a_malformed_query_is_invalid_and_says_where(told: Talk, name: str, body: Any):
    error = told.query(name, body).error

    assert error["code"] == "invalid"
    assert error["details"]["path"].startswith("$")
    assert ask(told, "jobs.count")["count"] == 26


def test_a_query_of_more_than_64_kib_is_too_large(told: Talk):
    body = b'{"key":"k"' + b" " * (64 * KIB) + b"}"

    refused = told.query("app_state.get", body)
    assert refused.code == "too_large"
    assert "ask for less at once" in refused.error["hint"]
    assert told.query("app_state.get", body[:-12] + b"}").code == "not_found"


@pytest.mark.parametrize("after", ["", "\0", "k\0", "😀", "'; DROP TABLE jobs; --", "x" * 60_000, "k100"])
def test_a_cursor_may_be_any_text(told: Talk, after: str):
    page = ask(told, "app_state.list", {"after": after, "limit": 1000})

    keys = ["a:b/c", *(f"k{number:03}" for number in range(250))]
    assert [row["key"] for row in page["items"]] == [key for key in keys if key > after]


def test_an_answer_that_fits_into_no_message_is_too_large(own: Talk):
    send(own, "app_state.set", {"key": "k", "value": 1})
    own.stop()
    store = apsw.Connection(str(own.settings.store_path))
    store.execute("UPDATE app_state SET value = '\"' || hex(zeroblob(524288)) || '\"'")
    store.close()
    own.start()

    answers: list[Message] = [own.query("app_state.get", {"key": "k"}), own.query("app_state.list")]

    assert [answer.code for answer in answers] == ["too_large", "too_large"]
    assert ask(own, "app_state.count") == {"count": 1}


def test_a_query_reads_what_was_answered_before_it_was_asked(own: Talk):
    for number in range(200):
        position = send(own, "app_state.set", {"key": "k", "value": number})["position"]
        row = ask(own, "app_state.get", {"key": "k"})
        assert (row["value"], row["position"]) == (number, position)


def test_a_disk_that_stops_under_a_look_up_has_nothing_else_stand_still(tmp_path: Path):
    entered, goes_on = threading.Event(), threading.Event()

    def stops(connection: Any, query: Any) -> bytes:
        entered.set()
        assert goes_on.wait(60)
        return b"{}"

    async def scenario() -> None:
        async with serving(tmp_path) as service, client_of(service) as client:
            verbs: dict[str, Any] = dict(service.query_verbs)
            service.query_verbs["app_state.get"] = msgspec.structs.replace(
                verbs["app_state.get"], answer=stops
            )
            asked = asyncio.create_task(client.query("app_state.get", {"key": "a"}, timeout_seconds=60))
            await until(entered.is_set)
            assert await set_keys(client, "a") == 1
            assert (await client.connection.nats.request("$SRV.PING", timeout=30)).data
            assert not asked.done()
            goes_on.set()
            assert await asked == {}
            # The slow query has the next queries read by threads.
            service.query_verbs["app_state.get"] = verbs["app_state.get"]
            assert (await client.get("app_state", key="a"))["position"] == 1

    asyncio.run(scenario())


# A service that another one may have replaced


def test_one_that_another_may_have_taken_over_from_tells_nothing_of_its_store(tmp_path: Path):
    with Talk(tmp_path) as talk:
        send(talk, "app_state.set", {"key": "k", "value": 1})
        # As after a pause: only the next look tells whether a newer service has taken over.
        talk.service._standing_alone._incarnation = SimpleNamespace(is_valid=False)  # type: ignore[assignment]
        for name, body in (
            ("app_state.get", {"key": "k"}),
            ("app_state.get", {"key": "of-the-newer-one"}),
            ("app_state.list", {}),
            ("events.read", {}),
        ):
            assert talk.query(name, body).code == "unavailable", name
        assert talk.query("service.status").code is None
        talk.service._standing_alone._incarnation = None
        assert ask(talk, "app_state.get", {"key": "k"})["value"] == 1
