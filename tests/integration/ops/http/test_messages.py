"""Commands and queries over HTTP: the same meaning, the same limits, the same writer as over the bus."""

import asyncio
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from bus.serving.queries import awaited_places
from domain.catalogue import VERBS
from hyperpage_client.identifiers import new_id
from ops.http.backend import Backend
from ops.http.meaning import meaning_of
from ops.store.data_directory import read_runtime
from tests.support.http_clients import asynchronous_client
from tests.support.patience import until
from tests.support.services.asking import HttpTalk, problem


def test_where_the_api_is_stands_in_the_runtime_file(shared: HttpTalk) -> None:
    runtime = read_runtime(shared.data)

    assert runtime is not None
    assert runtime.http_url == shared.url
    assert shared.get("/api/v1/jobs").status_code == 200


def test_without_http_there_is_no_address(tmp_path: Path) -> None:
    with HttpTalk(tmp_path, no_http=True) as talk:
        runtime = read_runtime(talk.data)

        assert runtime is not None
        assert runtime.http_url is None


def test_a_command_by_its_verb_is_answered_as_on_the_bus(shared: HttpTalk) -> None:
    answer = shared.post("/api/v1/jobs/enqueue", {"id": "a", "type": "sync", "name": "A"})

    assert answer.status_code == 200
    assert answer.json()["stream"] == "jobs/a"
    assert answer.json()["events"] == ["job.enqueued.v1"]
    assert shared.query("jobs.get", {"id": "a"}).said == shared.get("/api/v1/jobs/a").json()


def test_every_command_and_query_of_the_contract_has_a_path(shared: HttpTalk) -> None:
    queries = shared.service.query_verbs
    public = {name for name, (_, verb) in VERBS.items() if not verb.internal}

    for name in public | set(queries):
        table, _, verb = name.partition(".")
        assert meaning_of("POST", f"{table}/{verb}".encode(), queries).name == name


def test_what_is_new_is_created_and_says_where_it_is(shared: HttpTalk) -> None:
    created = shared.post("/api/v1/jobs", {"id": "new/one", "type": "t", "name": "n"})

    assert created.status_code == 201
    assert created.headers["location"] == "/api/v1/jobs/new%2Fone"
    assert created.headers["etag"] == '"1"'
    assert shared.get(created.headers["location"]).json()["id"] == "new/one"


def test_a_row_is_changed_where_it_is(shared: HttpTalk) -> None:
    place = "/api/v1/tool_configs/jira"
    assert shared.ask("PUT", place, json={"config": {"site": "a", "old": 1}}).status_code == 200

    merged = {"Content-Type": "application/merge-patch+json"}
    patched = shared.ask("PATCH", place, content=b'{"old": null, "new": 2}', headers=merged)
    assert patched.json()["events"] == ["tool_config.patched.v1"], patched.text
    assert shared.get(place).json()["config"] == {"site": "a", "new": 2}
    assert shared.post(f"{place}/disable").json()["events"] == ["tool_config.disabled.v1"]
    assert shared.ask("DELETE", place).status_code == 200
    problem(shared.get(place), 404, "not_found")
    problem(shared.ask("PUT", place, json={"tool_name": "other"}), 400, "invalid")


def test_questions_about_a_row_and_about_a_table(shared: HttpTalk) -> None:
    for number in range(3):
        shared.post("/api/v1/jobs", {"id": f"q{number}", "type": "question", "name": "n", "queue": "asked"})
    shared.post("/api/v1/jobs/q1/cancel", {"reason": "enough"})

    history = shared.get("/api/v1/jobs/q1/history?after=1").json()["items"]
    assert [event["type"] for event in history] == ["hyperpage.job.cancelled.v1"]
    assert shared.get("/api/v1/jobs/-/count?queue=asked&status=pending").json() == {"count": 2}
    assert shared.get("/api/v1/jobs?type=question&status=cancelled").json()["items"][0]["id"] == "q1"
    assert shared.post("/api/v1/jobs/count", {"queue": "asked"}).json() == {"count": 3}
    position = shared.get("/api/v1/jobs/q1").json()["position"] - 1
    assert shared.get(f"/api/v1/jobs/q1/as_of?position={position}").json()["status"] == "pending"
    read = shared.get(f"/api/v1/events/-/read?after={position}").json()
    assert read["items"][0]["subject"] == "jobs/q1"


def test_a_rate_limit_is_named_by_its_key(shared: HttpTalk) -> None:
    seen = {"platform": "github", "resource": "core", "remaining": 5, "limit": 10}
    shared.post("/api/v1/rate_limits/observe", seen)

    assert shared.get("/api/v1/rate_limits/github:core").json()["limit_remaining"] == 5
    [row] = shared.get("/api/v1/rate_limits").json()["items"]
    assert shared.get(f"/api/v1/rate_limits/{row['id']}").json() == row
    assert shared.get("/api/v1/rate_limits/github:core/may_call?cost=3").json()["allowed"] is True
    problem(shared.get("/api/v1/rate_limits/a:b:c:d"), 404, "not_found")


def test_pages_are_linked_until_everything_was_seen(shared: HttpTalk) -> None:
    for number in range(5):
        shared.ask("PUT", f"/api/v1/app_state/page:{number}", json={"value": number})

    path: str | None = "/api/v1/app_state?prefix=page:&limit=2"
    seen, pages = [], 0
    while path is not None:
        page = shared.get(path)
        seen += [row["key"] for row in page.json()["items"]]
        pages += 1
        path = page.links["next"]["url"] if "next" in page.links else None

    assert seen == [f"page:{number}" for number in range(5)]
    assert pages == 3


def test_a_version_is_a_tag_that_can_be_asked_for(shared: HttpTalk) -> None:
    place = "/api/v1/app_state/tagged"
    none_yet = {"If-None-Match": "*"}
    first = shared.ask("PUT", place, json={"value": 1}, headers=none_yet)

    assert first.headers["etag"] == '"1"'
    problem(shared.ask("PUT", place, json={"value": 2}, headers=none_yet), 412, "version_conflict")
    assert shared.get(place, headers={"If-None-Match": '"1"'}).status_code == 304
    assert shared.get(place, headers={"If-None-Match": '"7", W/"1"'}).status_code == 304
    assert shared.get(place, headers={"If-None-Match": '"2"'}).status_code == 200

    second = shared.ask("PUT", place, json={"value": 2}, headers={"If-Match": '"1"'})
    assert second.headers["etag"] == '"2"'
    stale = problem(shared.ask("DELETE", place, headers={"If-Match": '"1"'}), 412, "version_conflict")
    assert stale["details"]["actual_version"] == 2
    for wrong in ("1", '"x"', '"1", "2"', "*", 'W/"2"', '""'):
        refused = shared.ask("DELETE", place, headers={"If-Match": wrong})
        assert problem(refused, 400, "invalid")["path"] == "If-Match"


def test_a_command_that_is_sent_again_changes_nothing_and_gets_the_same_answer(shared: HttpTalk) -> None:
    key = {"Idempotency-Key": "once"}
    first = shared.post("/api/v1/jobs", {"type": "t", "name": "n"}, headers=key)
    again = shared.post("/api/v1/jobs", {"type": "t", "name": "n"}, headers=key)
    quoted = shared.post("/api/v1/jobs", {"type": "t", "name": "n"}, headers={"Idempotency-Key": '"once"'})
    on_the_bus = shared.command("jobs.enqueue", {"type": "t", "name": "n"}, id="once")

    assert first.content == again.content == quoted.content == on_the_bus.body
    other = shared.post("/api/v1/jobs", {"type": "t", "name": "other"}, headers=key)
    problem(other, 409, "command_id_reused")


def test_several_commands_are_one_request(shared: HttpTalk) -> None:
    commands = [
        {"command": "app_state.set", "id": f"b{key}", "body": {"key": f"b{key}", "value": key}}
        for key in range(3)
    ]
    answer = shared.post("/api/v1/batch", {"atomic": True, "commands": commands})

    assert [one["events"] for one in answer.json()["outcomes"]] == [["app_state.set.v1"]] * 3
    bad = [*commands, {"command": "app_state.set", "body": {"key": "x"}}]
    assert problem(shared.post("/api/v1/batch", {"atomic": True, "commands": bad}), 400, "invalid")


def test_a_refusal_says_its_rule_its_path_and_what_to_do(shared: HttpTalk) -> None:
    shared.post("/api/v1/jobs", {"id": "over", "type": "t", "name": "n"})
    shared.post("/api/v1/jobs/over/cancel")

    refused = problem(shared.post("/api/v1/jobs/over/hold"), 422, "refused")
    assert refused["rule"] == refused["details"]["rule"]
    invalid = problem(shared.post("/api/v1/jobs", {"type": "t", "name": "n", "priority": 9}), 400, "invalid")
    assert invalid["path"] == "$.priority"
    github = "ghp_" + "a1B2" * 9
    secret = problem(shared.ask("PUT", "/api/v1/app_state/s", json={"value": github}), 422, "secret_rejected")
    assert secret["path"] == "$.value"
    assert github not in str(secret)
    large = shared.ask("PUT", "/api/v1/app_state/s", json={"value": "x" * 70_000})
    assert problem(large, 413, "too_large")["details"]["limit_bytes"] < 70_000


def test_a_refusal_says_all_that_is_wrong_and_what_may_have_been_meant(shared: HttpTalk) -> None:
    body = problem(shared.post("/api/v1/jobs", {"nam": "x", "priority": 9}), 400, "invalid")
    fields = problem(shared.get("/api/v1/jobs?statuss=failed&limit=many"), 400, "invalid")
    places = {"jobs/-/enque": "jobs.enqueue", "job/-/claim": "jobs.claim", "jobs/-/cnt": "jobs.count"}

    assert [one["path"] for one in body["details"]["violations"]] == ["$", "$.priority", "$"]
    assert body["details"]["violations"][0]["did_you_mean"] == "name"
    assert "`hyperpage schema jobs.enqueue`" in body["hint"]
    assert [one.get("did_you_mean") for one in fields["details"]["violations"]] == ["status", None]
    for path, meant in places.items():
        nowhere = problem(shared.post(f"/api/v1/{path}", {}), 404, "not_found")
        assert (nowhere["details"], f"did you mean {meant}?" in nowhere["hint"]) == (
            {"did_you_mean": meant},
            True,
        )
    assert "did you mean jobs?" in problem(shared.get("/api/v1/job"), 404, "not_found")["hint"]


def test_a_defect_is_told_by_its_incident_alone(
    shared: HttpTalk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(*_: object, **__: object) -> bytes:
        raise RuntimeError("what nobody is to read")

    monkeypatch.setattr(Backend, "read", fails)
    answer = shared.get("/api/v1/jobs")

    refused = problem(answer, 500, "internal")
    assert refused["details"] == {"incident": refused["incident"]}
    assert "nobody" not in answer.text
    assert refused["incident"] in caplog.text
    assert "what nobody is to read" in caplog.text


def test_what_is_not_there_is_a_problem(shared: HttpTalk) -> None:
    for path in ("/api/v1/jobs/nobody", "/api/v1/nothing", "/elsewhere", "/api/v1/jobs/a/b/c", "/api/v1/"):
        problem(shared.get(path), 404, "not_found")
    problem(shared.post("/api/v1/jobs/archive_many"), 404, "not_found")
    # A verb of the service's own.
    internal = next(name for name, (_, verb) in VERBS.items() if verb.internal)
    problem(shared.post(f"/api/v1/{internal.replace('.', '/')}"), 404, "not_found")
    wrong = shared.ask("DELETE", "/api/v1/jobs/a")
    problem(wrong, 405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET"


@pytest.mark.parametrize(
    "query",
    ["limit=x", "limit=0", "limit=1001", "limit=1&limit=2", "nonsense=1", "status=lost", "created_from=1.5"],
)
def test_a_parameter_that_means_nothing_is_refused(shared: HttpTalk, query: str) -> None:
    name = query.partition("=")[0]

    refused = problem(shared.get(f"/api/v1/jobs?{query}"), 400, "invalid")
    assert name in refused["path"] + refused["detail"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_is_json_and_says_so(shared: HttpTalk, kind: str) -> None:
    body = b'{"key": "a", "value": 1}'
    refused = shared.ask("POST", "/api/v1/app_state/set", content=body, headers={"Content-Type": kind})

    problem(refused, 415, "unsupported_media_type")


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b'{"value": 1, "value": 2}', b"\xff", b"[" * 5000])
def test_a_body_that_cannot_be_read_is_refused_where_the_path_says_the_key(
    shared: HttpTalk, body: bytes
) -> None:
    json = {"Content-Type": "application/json"}

    problem(shared.ask("PUT", "/api/v1/app_state/k", content=body, headers=json), 400, "invalid")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/../../etc/passwd",
        "/api/v1/app_state/..%2f..%2fetc%2fpasswd",
        "/api/v1/app_state/%2e%2e",
        "/api/v1/%2e%2e/admin/projections/verify",
        "/api/v1/app_state/a%00b",
        "/api/v1/app_state/%ff",
        "/api/v1//app_state",
        "/api/v1/app_state/a/",
    ],
)
def test_a_path_leads_nowhere_but_to_rows(shared: HttpTalk, path: str) -> None:
    refused = shared.run(raw(shared, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))

    assert refused.split(b" ")[1] in (b"400", b"404", b"405"), refused


@pytest.mark.parametrize("key", ["a/b", "a:b@c", "x+y=z", "v1.2"])
def test_any_key_fits_into_a_path(shared: HttpTalk, key: str) -> None:
    place = f"/api/v1/app_state/{quote(key, safe='')}"

    assert shared.ask("PUT", place, json={"value": key}).status_code == 200
    assert shared.get(place).json()["key"] == key


def test_who_caused_an_event_stands_in_it(shared: HttpTalk) -> None:
    said = {"Hyperpage-Actor": "Zoë".encode(), "Hyperpage-Correlation-Id": b"c-1"}
    shared.ask("PUT", "/api/v1/app_state/by", json={"value": 1}, headers=said)

    [event] = shared.get("/api/v1/app_state/by/history").json()["items"]
    assert (event["actor"], event["correlationid"]) == ("Zoë", "c-1")


async def raw(talk: HttpTalk, request: str) -> bytes:
    """The answer on a connection that carries this request alone."""
    import asyncio

    assert talk.service.http is not None
    reader, writer = await asyncio.open_connection(*talk.service.http.listens_at)
    writer.write(request.encode("latin-1"))
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return answer


def test_a_read_says_how_new_it_is(shared: HttpTalk) -> None:
    position = shared.post("/api/v1/app_state/set", {"key": "new", "value": new_id()}).json()["position"]
    row = shared.get("/api/v1/app_state/new")
    tag = {"If-None-Match": row.headers["etag"]}

    for answer in (
        row,
        shared.get("/api/v1/app_state/new", headers=tag),
        shared.get("/api/v1/app_state/nobody"),
        shared.get("/api/v1/app_state"),
        shared.post("/api/v1/app_state/count", {}),
    ):
        assert answer.headers["hyperpage-position"] == str(position), answer.text
        assert answer.headers["hyperpage-timeline"] == "1"
    assert "hyperpage-position" not in shared.get("/api/v1/service/-/status").headers


def test_a_read_waits_for_what_it_asks_for(shared: HttpTalk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(awaited_places, "LONGEST_WAIT_SECONDS", 600)
    set_it = shared.url + "/api/v1/app_state/set"

    async def scenario() -> httpx.Response:
        async with asynchronous_client() as client:
            stored = await client.post(set_it, json={"key": "awaited", "value": new_id()})
            least = {"Hyperpage-Min-Position": f"1-{stored.json()['position'] + 1}"}
            reading = client.get(f"{shared.url}/api/v1/app_state/awaited", headers=least)
            asked = asyncio.create_task(reading)
            await until(lambda: shared.service.requests.queries._awaited.waiting == 1)
            await client.post(set_it, json={"key": "awaited", "value": "at last"})
            return await asked

    answer = shared.run(scenario())

    assert (answer.status_code, answer.json()["value"]) == (200, "at last")
    assert int(answer.headers["hyperpage-position"]) == answer.json()["position"]


def test_a_read_of_what_does_not_come_in_time_is_behind(
    shared: HttpTalk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(awaited_places, "LONGEST_WAIT_SECONDS", 0.01)

    def read(least: str) -> httpx.Response:
        return shared.get("/api/v1/app_state", headers={"Hyperpage-Min-Position": least})

    behind = problem(read("9223372036854775807"), 503, "behind")
    assert behind["details"] == {"position": shared.position, "timeline": 1, "leads": True}
    assert "leave the header out" in behind["hint"]
    for wrong in ("-1", "one", "9223372036854775808"):
        assert problem(read(wrong), 400, "invalid")["path"] == "Hyperpage-Min-Position"


def test_a_read_for_the_leader_is_answered_by_one_that_leads(
    shared: HttpTalk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(who: str) -> httpx.Response:
        return shared.get("/api/v1/app_state", headers={"Hyperpage-Read": who})

    assert read("leader").status_code == 200
    assert problem(read("follower"), 400, "invalid")["path"] == "Hyperpage-Read"
    # As if another service led by the time that this one has read.
    monkeypatch.setattr(shared.service.requests.queries, "_leads", lambda: False)
    assert "ask again" in problem(read("leader"), 503, "unavailable")["hint"]
