"""Status, projections, migrations and dead letters, as an operator has them."""

import asyncio
import json

import apsw

from bus.broker.users import RELAY, private_inbox
from tests.support.patience import wait_for
from tests.support.services.command_line import Served, hyperpage
from tests.support.services.raw_nats import RawNats


def test_status_is_healthy_and_says_where_the_service_stands(served):
    result = wait_for(lambda: (one := served("status", "--json")).code == 0 and one)
    assert result.json["status"] == "healthy"
    assert result.json["store_id"] == served.runtime["store_id"]
    readable = served("status").out.splitlines()
    assert readable[0] == "healthy"
    assert any(line.split() == ["store_id", served.runtime["store_id"]] for line in readable)


def test_where_no_service_runs_every_question_exits_with_5_and_says_how_to_start_one(tmp_path):
    for arguments in (
        ("status",),
        ("send", "jobs.claim"),
        ("query", "jobs.list"),
        ("tail",),
        ("dlq", "list"),
    ):
        result = hyperpage(*arguments, "--data", tmp_path, "--json")
        assert (result.code, result.json["error"]["code"]) == (5, "unreachable")
        assert f"hint: start one with `hyperpage serve --data {tmp_path}`" in result.err


def test_projections_are_verified_and_rebuilt_while_the_service_runs(served):
    served.ask("send", "app_state.set", '{"key": "verified", "value": 1}')
    report = served.ask("projections", "verify")
    assert report["equal"] is True
    assert report["tables"]["app_state"]["rows"] == 1
    assert served.ask("projections", "rebuild")["rebuilt_streams"] == 0
    assert "The tables equal the log at position" in served("projections", "verify").out


def test_a_row_that_was_changed_behind_the_log_is_found_and_put_right_in_a_stopped_store(tmp_path):
    with Served(tmp_path / "data") as service:
        service.ask("send", "app_state.set", '{"key": "theme", "value": "dark"}')
    connection = apsw.Connection(str(tmp_path / "data" / "hyperpage.db"))
    connection.execute("""UPDATE app_state SET value = '"light"'""")
    connection.close()
    where = ("--data", tmp_path / "data")
    found = hyperpage("projections", "verify", *where)
    assert found.code == 6
    assert 'app_state "theme": value is "\\"light\\"" instead of "\\"dark\\""' in found.out
    assert hyperpage("projections", "rebuild", *where, "--json").json["rebuilt_streams"] == 1
    assert hyperpage("projections", "verify", *where).code == 0


def test_the_file_of_a_member_is_given_up_while_it_is_stopped_and_only_if_that_is_meant(tmp_path):
    where = ("--data", tmp_path / "data")
    with Served(tmp_path / "data") as service:
        service.ask("send", "app_state.set", '{"key": "theme", "value": "dark"}')
        assert hyperpage("cluster", "reseed", "--yes", *where, "--json").json["error"]["code"] == "in_use"
    assert hyperpage("cluster", "reseed", *where).code == 2
    assert hyperpage("cluster", "reseed", "--yes", *where, "--json").json == {"position": 1}


def test_a_stopped_store_is_migrated_down_and_up_and_its_events_are_kept(tmp_path):
    where = ("--data", tmp_path / "data")
    with Served(tmp_path / "data") as service:
        service.ask("send", "jobs.enqueue", '{"type": "sync", "name": "x"}')
        assert hyperpage("migrate", "up", *where, "--json").json == {"applied": []}
        refused = hyperpage("migrate", "down", *where)
        assert (refused.code, "in use by another service" in refused.err) == (1, True)
        beside = hyperpage("migrate", "status", *where, "--json")
        assert all(one["applied"] for one in beside.json)
    names = [one["name"] for one in beside.json]
    assert hyperpage("migrate", "down", *where, "--json").json == {"reverted": [names[-1]]}
    lossy = hyperpage("migrate", "down", "--to", names[0], *where)
    assert lossy.code == 1
    assert "say --drop-events" in lossy.err
    assert hyperpage("migrate", "up", *where, "--json").json == {"applied": [names[-1]]}
    # The values that went with dropped columns are there again.
    assert hyperpage("projections", "verify", *where).code == 0
    emptied = hyperpage("migrate", "down", "--to", names[0], "--drop-events", *where)
    assert emptied.out.splitlines() == [f"reverted {name}" for name in reversed(names[1:])]


def test_where_there_is_no_store_nothing_is_made_but_by_migrate_up(tmp_path):
    data = tmp_path / "data"
    for arguments in (("migrate", "status"), ("migrate", "down"), ("projections", "verify")):
        assert hyperpage(*arguments, "--data", data).code == 3
    assert not data.exists()
    assert hyperpage("migrate", "up", "--data", data).code == 0
    assert (data / "hyperpage.db").exists()


def test_a_stream_with_somebody_elses_message_is_told_and_refilled(tmp_path):
    with Served(tmp_path / "data") as service:
        for value in (1, 2, 3):
            service.ask("send", "app_state.set", json.dumps({"key": "k", "value": value}))
        wait_for(lambda: streamed(service) == 3)
        intrude(service)
        service.ask("send", "app_state.set", '{"key": "k", "value": 4}')
        sick = wait_for(lambda: (one := service("status", "--json")).code == 1 and one)
        assert "`hyperpage stream refill --yes` deletes HYPERPAGE_EVENTS" in sick.json["reasons"][0]

        hesitant = service("stream", "refill")
        assert hesitant.code == 2
        assert "say --yes" in hesitant.err
        assert streamed(service) == 4
        assert "being filled again" in service("stream", "refill", "--yes").out
        wait_for(lambda: service("status").code == 0 and streamed(service) == 4)
        assert [json.loads(body)["sequence"] for body in bodies(service, 4)] == ["1", "2", "3", "4"]
        assert service.ask("stream", "refill", "--yes") == {"refilling": True}


def intrude(service: Served) -> None:
    """Stores a message that is no event in the stream of events, as only the relay's user can."""
    accounts = json.loads((service.data / "nats" / "nats-server.conf").read_bytes())["accounts"]
    password = next(one["password"] for one in accounts["STREAMS"]["users"] if one["user"] == RELAY)
    url = service.runtime["nats_url"]
    url = f"nats://{RELAY}:{password}@{url.rpartition('@')[2]}"

    async def scenario() -> None:
        async with await RawNats.connect(url, inbox_prefix=f"{private_inbox(RELAY)}.") as relay:
            stored = await relay.request("hyperpage.evt.v1.jobs.x.made-up", b"{}")
            assert stored.said["seq"] == 4

    asyncio.run(scenario())


def streamed(service: Served) -> int:
    """How many messages the stream of events holds."""

    async def count() -> int:
        async with await RawNats.connect(service.runtime["nats_url"]) as application:
            info = await application.request("$JS.API.STREAM.INFO.HYPERPAGE_EVENTS")
            messages: int = info.said["state"]["messages"]
            return messages

    return asyncio.run(count())


def bodies(service: Served, count: int) -> list[bytes]:
    """The first messages in the stream of events."""

    async def read() -> list[bytes]:
        async with await RawNats.connect(service.runtime["nats_url"]) as application:
            subject = "$JS.API.DIRECT.GET.HYPERPAGE_EVENTS"
            return [
                (await application.request(subject, {"seq": number})).body for number in range(1, count + 1)
            ]

    return asyncio.run(read())


def test_a_dead_letter_is_listed_shown_replayed_and_dropped(served):
    refused = served("send", "app_state.set", '{"kye": 1}', "--durable", "--id", "dead-1")
    assert refused.code == 1
    (letter,) = served.ask("dlq", "list")["items"]
    assert (letter["command"], letter["command_id"], letter["code"]) == ("app_state.set", "dead-1", "invalid")
    assert "dead-1" in served("dlq", "list").out
    shown = served.ask("dlq", "show", str(letter["sequence"]))
    assert shown["body"] == '{"kye": 1}'
    assert served.ask("dlq", "replay", str(letter["sequence"])) == {"replayed": 1}

    # The replayed command is as wrong as before, so it becomes a dead letter again.
    (again,) = wait_for(lambda: served.ask("dlq", "list")["items"])
    assert again["sequence"] > letter["sequence"]
    assert served("dlq", "show", str(letter["sequence"])).code == 3
    assert served.ask("dlq", "drop", "--all", "--yes") == {"dropped": 1}
    assert served.ask("dlq", "list")["items"] == []


def test_a_degraded_service_is_ready_all_the_same(tmp_path):
    with Served(tmp_path / "data", "--no-http", HYPERPAGE_DISK_FREE_DEGRADED_MIB=str(2**40)) as service:
        assert service("status").code == 1
        assert service("status", "--ready").code == 0
    assert hyperpage("status", "--ready", "--data", tmp_path / "data").code == 5
