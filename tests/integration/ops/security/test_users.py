"""Users of their own: what each may do, what it may not, and that they come and go while others work."""

import asyncio
import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError

import bus.broker.server
from bus.broker.users import ADMIN, APP
from bus.client import Unreachable, connect
from domain.errors import Unavailable
from ops.security.registry import RotateLogin
from ops.security.users import UserError, UserFile
from ops.store.data_directory import read_admin, read_runtime
from tests.support.machines.nats_process import send_signal
from tests.support.patience import COMES_WITHIN_SECONDS, until
from tests.support.services.own_users import connected, new_user, query, send, take_effect
from tests.support.services.serving import broker_of, client_of, relay_user, serving
from tests.support.stores.looking_inside import log_of

JOB = {"type": "sync", "name": "a job"}


def test_a_user_works_under_its_name_and_within_its_rights(tmp_path: Path):
    async def play() -> list[Any]:
        async with serving(tmp_path) as service:
            _, seed = await new_user(service, "billing", allow=("jobs.*", "schedules.*"), keys=("billing/*",))
            async with connected(service, seed) as billing:
                made = await send(billing, "jobs.enqueue", {**JOB, "id": "billing/1"}, actor="somebody else")
                minted = await send(billing, "jobs.enqueue", JOB)
                await send(billing, "schedules.set", {"id": "billing/s", "every_ms": 60_000, "job": JOB})
                triggered = await send(billing, "schedules.trigger", {"id": "billing/s"})
                refused = [
                    await send(billing, "jobs.enqueue", {**JOB, "id": "eve/1"}),
                    await send(billing, "jobs.enqueue", {**JOB, "id": "billing/2", "depends_on": ["eve/1"]}),
                    await send(billing, "app_state.set", {"key": "billing/1", "value": 1}),
                    await query(billing, "app_state.get", {"key": "billing/1"}),
                    await query(billing, "jobs.get", {"id": "eve/1"}),
                    await query(billing, "jobs.browse", {}),
                    await query(billing, "events.find", {}),
                ]
                row = await query(billing, "jobs.get", {"id": "billing/1"})
                return [made, minted, triggered, refused, row]

    made, minted, triggered, refused, row = asyncio.run(play())

    assert (made["stream"], row["id"]) == ("jobs/billing/1", "billing/1")
    assert minted["stream"].startswith("jobs/billing/")
    assert triggered["result"]["id"].startswith("billing/")
    assert [one["error"]["code"] for one in refused] == ["forbidden"] * len(refused)
    assert json.loads(str(log_of(tmp_path / "hyperpage.db")[0].metadata)) == {
        "actor": "somebody else",
        "principal": "billing",
    }


def test_of_what_two_users_have_each_sees_and_takes_its_own(tmp_path: Path):
    async def play() -> dict[str, Any]:
        async with serving(tmp_path) as service:
            _, one = await new_user(service, "billing", allow=("jobs.*",), keys=("billing/*",), follows=False)
            _, other = await new_user(service, "eve", allow=("jobs.*",), keys=("eve/*",), follows=False)
            async with connected(service, one) as billing, connected(service, other) as eve:
                for number in range(3):
                    await send(billing, "jobs.enqueue", {**JOB, "id": f"billing/{number}", "priority": 4})
                await send(eve, "jobs.enqueue", {**JOB, "id": "eve/0", "priority": 1})
                taken = await send(eve, "jobs.claim", {"worker": "w", "limit": 10})
                cancelled = await send(eve, "jobs.cancel_many", {"filter": {"type": "sync"}})
                listed = await query(eve, "jobs.list", {})
                counted = await query(eve, "jobs.count", {})
                read = await query(eve, "events.read", {})
                mine = await send(billing, "jobs.claim", {"worker": "w", "limit": 10}, command_id="claim-1")
                stolen = await send(eve, "jobs.claim", {"worker": "w", "limit": 10}, command_id="claim-1")
                again = await send(billing, "jobs.claim", {"worker": "w", "limit": 10}, command_id="claim-1")
                return {
                    "taken": [job["id"] for job in taken["result"]["jobs"]],
                    "cancelled": cancelled["result"],
                    "listed": [job["id"] for job in listed["items"]],
                    "counted": counted["count"],
                    "read": sorted({event["subject"] for event in read["items"]}),
                    "mine": sorted(job["id"] for job in mine["result"]["jobs"]),
                    "stolen": stolen["result"]["jobs"],
                    "is_same": again == mine,
                }

    assert asyncio.run(play()) == {
        "taken": ["eve/0"],
        "cancelled": {"ids": ["eve/0"], "skipped": [], "remaining": 0},
        "listed": ["eve/0"],
        "counted": 1,
        "read": ["jobs/eve/0"],
        "mine": ["billing/0", "billing/1", "billing/2"],
        "stolen": [],
        "is_same": True,
    }


def test_keys_are_looked_at_however_a_command_comes(tmp_path: Path):
    async def play() -> dict[str, Any]:
        async with serving(tmp_path) as service:
            _, seed = await new_user(
                service, "billing", allow=("jobs.*",), keys=("billing/*",), follows=False
            )
            async with connected(service, seed) as billing, client_of(service) as app:
                await app.send("jobs.enqueue", {**JOB, "id": "eve/1", "unique": {"key": "only one"}})
                commands = [
                    {"command": "jobs.enqueue", "body": {**JOB, "id": f"{who}/2"}}
                    for who in ("billing", "eve")
                ]
                whole = await send(billing, "batch", {"atomic": True, "commands": commands})
                each = await send(billing, "batch", {"commands": commands})
                results = await billing.subscribe("hyperpage.res.v1.>")
                for number, who in enumerate(("billing", "eve")):
                    await billing.request(
                        "hyperpage.dcmd.v1.jobs.enqueue",
                        json.dumps({**JOB, "id": f"{who}/3"}).encode(),
                        timeout=COMES_WITHIN_SECONDS,
                        headers={"Hyperpage-Command-Id": str(number)},
                    )
                durable = [json.loads((await results.next_msg(timeout=10)).data) for _ in range(2)]
                unique = await send(
                    billing, "jobs.enqueue", {**JOB, "id": "billing/4", "unique": {"key": "only one"}}
                )
                paused = [
                    await send(billing, "jobs.pause_queue", {"queue": name})
                    for name in ("default", "billing/q")
                ]
                return {
                    "whole": whole["error"]["code"],
                    "each": [_outcome(one) for one in each["outcomes"]],
                    "durable": sorted(map(_outcome, durable)),
                    "unique": unique["stream"],
                    "paused": list(map(_outcome, paused)),
                }

    assert asyncio.run(play()) == {
        "whole": "forbidden",
        "each": ["jobs/billing/2", "forbidden"],
        "durable": ["forbidden", "jobs/billing/3"],
        "unique": "jobs/billing/4",
        "paused": ["forbidden", "queues/billing/q"],
    }


def _outcome(answer: dict[str, Any]) -> str:
    return str(answer["error"]["code"] if "error" in answer else answer["stream"])


@pytest.mark.parametrize("subject", [">", "_INBOX.>", "_INBOX_billing.>", "hyperpage.res.v1.>", "_R_.>"])
def test_nobody_hears_what_another_is_answered(tmp_path: Path, subject: str):
    async def play() -> list[str]:
        async with serving(tmp_path) as service:
            _, one = await new_user(service, "billing")
            _, other = await new_user(service, "eve", follows=False)
            async with connected(service, one) as billing, connected(service, other) as eve:
                heard: list[str] = []

                async def hear(message: Any) -> None:
                    heard.append(message.subject)

                await eve.subscribe(subject, cb=hear)
                await eve.flush()
                await send(billing, "jobs.enqueue", {**JOB, "id": "1"})
                await send(billing, "jobs.claim", {"worker": "w"})
                await billing.request("hyperpage.dcmd.v1.jobs.cancel", b'{"id":"1"}', timeout=10)
                await until(lambda: service.leading.writer.head.position >= 3)
                await query(eve, "jobs.get", {"id": "1"})
                return [one for one in heard if not one.startswith("_INBOX." if subject == ">" else "!")]

    heard = asyncio.run(play())

    # At most the answer to eve's own query is heard, in eve's own inbox.
    assert len([one for one in heard if one.startswith("_INBOX.")]) <= 1
    assert [one for one in heard if not one.startswith("_INBOX.")] == []


def test_a_user_follows_its_tables_with_any_clients_defaults(tmp_path: Path):
    async def play() -> tuple[list[str], list[str], list[str]]:
        async with serving(tmp_path) as service, client_of(service) as app:
            _, seed = await new_user(service, "follower", allow=(), tables=("jobs",))
            async with connected(service, seed) as watcher:
                jetstream = watcher.jetstream(timeout=30)
                await app.send("app_state.set", {"key": "a", "value": 1})
                await app.send("jobs.enqueue", {**JOB, "id": "1"})
                ordered = await jetstream.subscribe(
                    "hyperpage.evt.v1.jobs.>", stream="HYPERPAGE_EVENTS", ordered_consumer=True
                )
                first = await ordered.next_msg(timeout=10)
                live = await watcher.subscribe("hyperpage.evt.v1.>")
                # nats-py's first ping may overtake the subscription; the answer to a second one comes later.
                await watcher.flush()
                await watcher.flush()
                await app.send("app_state.set", {"key": "b", "value": 1})
                await app.send("jobs.enqueue", {**JOB, "id": "2"})
                second = await ordered.next_msg(timeout=10)
                pulled = await jetstream.pull_subscribe(
                    "hyperpage.evt.v1.jobs.>", durable="mine", stream="HYPERPAGE_EVENTS"
                )
                both = await pulled.fetch(2, timeout=10)
                for message in both:
                    await message.ack_sync()
                heard = await live.next_msg(timeout=10)
                with pytest.raises(nats.errors.TimeoutError):
                    await live.next_msg(timeout=0.2)
                return (
                    [first.subject, second.subject],
                    [message.subject for message in both],
                    [heard.subject],
                )

    enqueued = [f"hyperpage.evt.v1.jobs.{number}.enqueued" for number in (1, 2)]
    assert asyncio.run(play()) == (enqueued, enqueued, enqueued[1:])


def test_users_come_and_go_while_others_work(tmp_path: Path):
    async def play() -> tuple[int, list[str]]:
        async with serving(tmp_path) as service:
            _, seed = await new_user(service, "billing")
            async with connected(service, seed) as billing:
                stop = asyncio.Event()
                answered = 0

                async def work() -> None:
                    nonlocal answered
                    while not stop.is_set():
                        try:
                            answer = await send(billing, "app_state.set", {"key": "k", "value": answered})
                        except NoRespondersError:
                            # While nats-server takes in its users, it may answer so: nothing is stored then.
                            continue
                        assert "error" not in answer
                        answered += 1

                working = asyncio.create_task(work())
                for number in range(5):
                    await new_user(service, f"user-{number}")
                UserFile(tmp_path).revoke("user-3")
                await take_effect(service)
                before = answered
                await until(lambda: answered > before)
                stop.set()
                await working
                return answered, [one.name for one in service.registry.users]

    answered, names = asyncio.run(play())

    assert answered == len(log_of(tmp_path / "hyperpage.db"))
    assert names == ["billing", "user-0", "user-1", "user-2", "user-4"]


def test_a_key_is_replaced_with_no_command_lost_and_ends_in_its_time(tmp_path: Path):
    async def play() -> list[str]:
        async with serving(tmp_path) as service:
            _, old = await new_user(service, "billing")
            said: list[str] = []
            async with connected(service, old) as first:
                _, given = UserFile(tmp_path).rotate("billing", old_key_ms=5_000)
                await take_effect(service)
                said.append((await send(first, "app_state.set", {"key": "old", "value": 1}))["stream"])
                async with connected(service, given.seed) as second:
                    said.append((await send(second, "app_state.set", {"key": "new", "value": 1}))["stream"])
                await until(lambda: not first.is_connected)
            with pytest.raises((nats.errors.Error, OSError)):
                async with connected(service, old, allow_reconnect=False):
                    pass
            return said

    assert asyncio.run(play()) == ["app_state/old", "app_state/new"]


def test_the_broker_is_told_once_of_each_change(tmp_path: Path):
    async def play() -> int:
        async with serving(tmp_path) as service:
            _, old = await new_user(service, "billing")
            async with connected(service, old) as first:
                # The old key lasts until the service was told, and looks for keys that have run out.
                UserFile(tmp_path).rotate("billing", old_key_ms=2_000)
                await take_effect(service)
                await until(lambda: not first.is_connected)
            return (tmp_path / "nats" / "nats-server.log").read_text().count("Reloaded server configuration")

    # Made, rotated, run out; each time, the configuration is read twice. The last reading may be to come, and
    # on a slow machine, the second of one change is the first of the next.
    assert 3 <= asyncio.run(play()) <= 6


def test_a_revoked_user_is_out_at_once_and_its_name_stays_taken(tmp_path: Path):
    async def play() -> bool:
        async with serving(tmp_path) as service:
            _, seed = await new_user(service, "billing")
            async with connected(service, seed, allow_reconnect=False) as billing:
                await send(billing, "app_state.set", {"key": "k", "value": 1})
                UserFile(tmp_path).revoke("billing")
                await take_effect(service)
                await until(lambda: billing.is_closed)
            return await _is_let_in(service, seed)

    assert not asyncio.run(play())


def test_a_user_is_out_though_the_service_was_not_told_of_it(tmp_path: Path):
    async def play() -> bool:
        async with serving(tmp_path) as service:
            _, seed = await new_user(service, "billing")
            async with connected(service, seed, allow_reconnect=False) as billing:
                await send(billing, "app_state.set", {"key": "k", "value": 1})
                # As if the command line ended, or did not reach the service, before it told the service.
                UserFile(tmp_path).revoke("billing")
                await until(lambda: not billing.is_connected)
            return await _is_let_in(service, seed)

    assert not asyncio.run(play())


async def _is_let_in(service: Any, seed: str) -> bool:
    try:
        async with connected(service, seed, allow_reconnect=False) as client:
            assert isinstance(client, Client)
            return True
    except (nats.errors.Error, OSError):
        return False


def test_who_shares_the_applications_user_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async def play() -> list[Any]:
        async with serving(tmp_path) as service:
            url = broker_of(service).url_for(APP)
            notes: list[Any] = []
            for name in ("billing", "billing", "mailer"):
                client = await nats.connect(url, name=name)
                await until(partial(service.sharing.names.__contains__, name))
                notes.append([one.note for one in service.health.notes])
                await client.close()
            return notes

    assert asyncio.run(play()) == [[], [], ["app_shared"]]
    assert "'mailer' connected as the user app, as 'billing' has" in caplog.text


def test_a_broker_that_dies_of_a_new_user_is_started_again_with_that_user(tmp_path: Path):
    async def play() -> list[str]:
        async with serving(tmp_path) as service:
            server = broker_of(service)
            # The stopped nats-server handles no signal but the kill.
            send_signal(server, signal.SIGSTOP)
            coming = asyncio.create_task(new_user(service, "billing"))
            await until(
                lambda: server.home.path.joinpath("nats-server.conf").read_text().count("USER_billing")
            )
            send_signal(server, signal.SIGKILL)
            _, seed = await coming
            await until(lambda: service.parts.is_connected)
            await service.parts.responder_connection.flush()
            async with connected(service, seed) as billing:
                answer = await send(billing, "app_state.set", {"key": "k", "value": 1})
            return [answer["stream"], str(server.restarts)]

    assert asyncio.run(play()) == ["app_state/k", "1"]


@pytest.mark.parametrize("user", [APP, ADMIN])
def test_the_password_of_the_application_or_operator_is_replaced_under_load(tmp_path: Path, user: str):
    async def play() -> tuple[int, int]:
        async with serving(tmp_path) as service:
            server = broker_of(service)
            old = server.url_for(user)

            async def is_refused() -> bool:
                try:
                    async with connect(old, timeout_seconds=1):
                        return False
                except Unreachable:
                    return True

            async with connect(old, inbox_prefix=f"_INBOX_{user}") as before:
                answered = 0
                for number in range(20):
                    if number == 5:
                        _, rotate = service.registry.verbs(
                            server, service._announce, service.requests.stream_access.drop_consumers
                        )
                        await rotate.carry_out(RotateLogin(user=user, old_ms=5_000))  # type: ignore[arg-type]
                    answered += bool(await before.send("app_state.set", {"key": "k", "value": number}))
                announced = read_runtime(tmp_path) if user == APP else read_admin(tmp_path)
                assert announced is not None
                assert announced.nats_url == server.url_for(user) != old
                async with connect(announced.nats_url, inbox_prefix=f"_INBOX_{user}") as after:
                    await after.send("app_state.set", {"key": "k", "value": "new"})
                await until(lambda: not before.connection.nats.is_connected)
            await until(is_refused)
            return answered, len(log_of(tmp_path / "hyperpage.db"))

    assert asyncio.run(play()) == (20, 21)


def test_a_broker_that_does_not_take_users_says_itself_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bus.broker.server, "RELOAD_TIMEOUT_MS", 200)

    async def play() -> Unavailable:
        async with serving(tmp_path) as service:
            server = broker_of(service)
            send_signal(server, signal.SIGSTOP)
            try:
                with pytest.raises(Unavailable, match="did not take its new configuration") as caught:
                    await new_user(service, "billing")
            finally:
                send_signal(server, signal.SIGCONT)
            return caught.value

    assert asyncio.run(play()).hint.startswith("it goes on with the one before")


def test_what_a_revoked_user_followed_ends_with_it(tmp_path: Path):
    async def play() -> tuple[int, int]:
        async with serving(tmp_path) as service, relay_user(service) as relay:
            _, seed = await new_user(service, "billing")
            async with connected(service, seed) as billing:
                await billing.jetstream(timeout=30).pull_subscribe(
                    "hyperpage.evt.v1.>", durable="mine", stream="HYPERPAGE_EVENTS"
                )
            before = len(await relay.jetstream(timeout=30).consumers_info("HYPERPAGE_EVENTS"))
            UserFile(tmp_path).revoke("billing")
            await take_effect(service)
            return before, len(await relay.jetstream(timeout=30).consumers_info("HYPERPAGE_EVENTS"))

    assert asyncio.run(play()) == (1, 0)


def test_a_file_of_users_that_is_a_pipe_is_refused_and_waited_for_by_nobody(tmp_path: Path):
    os.mkfifo(tmp_path / "users.json")

    with pytest.raises(UserError, match="no regular file"):
        UserFile(tmp_path).read()
