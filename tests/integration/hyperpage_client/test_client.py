"""The client for services: commands, batches, durable commands and queries, also while things break."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import nats
import pytest
from nats.aio.transport import TcpTransport

import bus.writing.waiting
from bus.broker.server import NatsServer
from bus.broker.users import APP
from bus.client import Answer, BatchCommand, Client, ClosedError, Unreachable, connect
from bus.serving.queries import awaited_places
from domain import app_state
from domain.errors import (
    Busy,
    CommandIdReused,
    Invalid,
    NotFound,
    RuleViolated,
    TooLarge,
    VersionConflict,
)
from domain.jobs import commands as job_commands
from hyperpage_client.contract.log_place import LogPlace
from hyperpage_client.worker import Worker
from ops.service.composition import Service
from tests.support.machines import nats_process
from tests.support.patience import patiently, until
from tests.support.services.serving import broker_of, client_of, serving, set_keys, writer_held


@asynccontextmanager
async def service_and_client(folder: Path) -> AsyncIterator[tuple[Service, Client]]:
    async with serving(folder) as service, client_of(service, actor="tester") as client:
        yield service, client


def has_grown(found: list[int], count: int) -> bool:
    return len(found) >= count


async def has_rows(client: Client, count: int) -> bool:
    return await client.count("app_state") >= count


async def has_refused(service: Service, count: int) -> bool:
    """Whether the service has refused so many commands, by the statistics that any user may ask for."""
    connection = await nats.connect(broker_of(service).url_for(APP))
    try:
        message = await connection.request("$SRV.STATS", b"", timeout=30)
    finally:
        await connection.close()
    endpoints = msgspec.json.decode(message.data)["endpoints"]
    return sum(endpoint["num_errors"] for endpoint in endpoints) >= count


def test_a_command_of_the_domain_and_one_by_name_are_answered(tmp_path: Path):
    async def scenario():
        async with service_and_client(tmp_path) as (_, client):
            enqueued = await client.send(job_commands.Enqueue(type="sync", name="nightly", id="j1"))
            claimed = await client.send("jobs.claim", {"worker": "w1"})
            return enqueued, claimed

    enqueued, claimed = asyncio.run(scenario())

    assert (enqueued.stream, enqueued.version, enqueued.position) == ("jobs/j1", 1, 1)
    assert enqueued.events == ["job.enqueued.v1"]
    assert [job["id"] for job in claimed.result["jobs"]] == ["j1"]


def test_every_command_has_an_id_and_repeating_it_changes_nothing(tmp_path: Path):
    async def scenario():
        async with service_and_client(tmp_path) as (_, client):
            command = job_commands.Enqueue(type="sync", name="nightly")
            first = await client.send(command)
            again = await client.send(command, command_id=first.command_id)
            other = await client.send(command)
            with pytest.raises(CommandIdReused):
                await client.send("jobs.claim", {"worker": "w"}, command_id=first.command_id)
            return first, again, other

    first, again, other = asyncio.run(scenario())

    assert again == first
    assert other.command_id > first.command_id
    assert other.position == 2


def test_commands_that_are_sent_in_one_turn_of_the_loop_are_written_together(tmp_path: Path):
    async def scenario():
        async with service_and_client(tmp_path) as (_, client):
            await client.connection.nats.flush()
            transport = client.connection.nats._transport
            assert transport is not None
            write = transport.write
            writes: list[int] = []

            def counted(payload: bytes) -> None:
                writes.append(payload.count(b"HPUB "))
                write(payload)

            transport.write = counted  # type: ignore[method-assign]
            answers = await asyncio.gather(*(set_keys(client, f"k{number}") for number in range(50)))
            return [*answers, await set_keys(client, "alone")], writes

    positions, writes = asyncio.run(scenario())

    assert positions == list(range(1, 52))
    # More writes may follow: commands that a slow machine does not answer within a second are sent again.
    assert writes[0] == 50


def test_a_refusal_is_raised_as_what_it_is(tmp_path: Path):
    async def scenario():
        async with service_and_client(tmp_path) as (_, client):
            await client.send("app_state.set", {"key": "k", "value": 1})
            with pytest.raises(Invalid) as invalid:
                await client.send("jobs.claim", {"worker": 1})
            with pytest.raises(VersionConflict) as conflict:
                await client.send("app_state.set", {"key": "k", "value": 2}, expected_version=7)
            with pytest.raises(NotFound):
                await client.send(app_state.Delete(key="nothing"))
            with pytest.raises(NotFound, match="no command"):
                await client.send("jobs.celebrate", {})
            await client.send("jobs.enqueue", {"type": "sync", "name": "x", "id": "j"})
            with pytest.raises(RuleViolated) as violated:
                await client.send(job_commands.Retry(id="j"))
            return invalid.value, conflict.value, violated.value

    invalid, conflict, violated = asyncio.run(scenario())

    assert invalid.details["path"] == "$.worker"
    assert (conflict.details["expected_version"], conflict.details["actual_version"]) == (7, 1)
    assert violated.details["rule"]
    assert violated.message


def test_what_is_said_about_a_command_is_kept_with_its_events(tmp_path: Path):
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    async def scenario():
        async with service_and_client(tmp_path) as (_, client):
            await client.send("app_state.set", {"key": "a", "value": 1})
            await client.send(
                "app_state.set",
                {"key": "a", "value": 2},
                command_id="c-2",
                actor="ärmel",
                correlation_id="run 7",
                causation_id="c-1",
                traceparent=traceparent,
            )
            return [event async for event in client.history("app_state", key="a")]

    first, second = asyncio.run(scenario())

    assert first.actor == "tester"
    assert (second.command_id, second.actor) == ("c-2", "ärmel")
    assert (second.correlation_id, second.causation_id, second.traceparent) == ("run 7", "c-1", traceparent)


def test_a_batch_tells_of_each_command_and_an_atomic_one_is_all_or_nothing(tmp_path: Path):
    def commands() -> list[app_state.Delete | BatchCommand | app_state.Set]:
        return [
            app_state.Set(key="a", value=msgspec.Raw(b"1")),
            app_state.Delete(key="nothing"),
            BatchCommand(command="app_state.set", body={"key": "b", "value": [2]}, command_id="mine"),
        ]

    async def scenario():
        async with service_and_client(tmp_path) as (_, client):
            with pytest.raises(NotFound) as refused:
                await client.send_batch(commands(), atomic=True)
            after_atomic = await client.count("app_state")
            return refused.value, after_atomic, await client.send_batch(commands())

    refused, after_atomic, (set_a, not_deleted, set_b) = asyncio.run(scenario())

    assert refused.details["index"] == 1
    assert after_atomic == 0
    assert isinstance(set_a, Answer)
    assert isinstance(not_deleted, NotFound)
    assert isinstance(set_b, Answer)
    assert (set_b.command_id, set_b.stream) == ("mine", "app_state/b")


def test_rows_lists_counts_and_the_past_are_asked_for(tmp_path: Path):
    async def scenario():
        async with service_and_client(tmp_path) as (_, client):
            await set_keys(client, *(f"key-{number}" for number in range(7)), "key-3")
            with pytest.raises(NotFound):
                await client.get("app_state", key="nothing")
            return (
                await client.get("app_state", key="key-3"),
                [row["key"] async for row in client.list("app_state", limit=3)],
                await client.count("app_state"),
                [event.version async for event in client.history("app_state", key="key-3", limit=1)],
                await client.as_of("app_state", key="key-3", position=7),
                await client.read_events(2, limit=3),
                await client.read_events(0, stream="app_state/key-3"),
            )

    row, keys, count, versions, then, page, of_stream = asyncio.run(scenario())

    assert (row["version"], row["position"]) == (2, 8)
    assert keys == [f"key-{number}" for number in range(7)]
    assert count == 7
    assert versions == [1, 2]
    assert then["version"] == 1
    assert [event.position for event in page.items] == [3, 4, 5]
    assert (page.next, page.head) == (5, 8)
    assert [event.key for event in of_stream.items] == ["key-3", "key-3"]
    assert of_stream.next is None


def test_a_durable_command_is_answered_and_refused_like_any_other(tmp_path: Path):
    async def scenario():
        async with service_and_client(tmp_path) as (_, client):
            answer = await client.send_durable(app_state.Set(key="a", value=msgspec.Raw(b"1")))
            with pytest.raises(VersionConflict):
                await client.send_durable("app_state.set", {"key": "a", "value": 2}, expected_version=5)
            again = await client.send_durable(
                app_state.Set(key="a", value=msgspec.Raw(b"1")), command_id=answer.command_id
            )
            return answer, again

    answer, again = asyncio.run(scenario())

    assert (answer.stream, answer.version) == ("app_state/a", 1)
    assert again == answer


def test_durable_commands_are_answered_where_all_else_is(tmp_path: Path):
    async def scenario():
        async with service_and_client(tmp_path) as (_, client):
            subscriptions = client.connection.nats._sid
            answers = await asyncio.gather(
                *(client.send_durable("app_state.set", {"key": f"k{each}", "value": 1}) for each in range(50))
            )
            return answers, client.connection.nats._sid - subscriptions

    answers, subscriptions = asyncio.run(scenario())

    assert sorted(answer.position for answer in answers) == list(range(1, 51))
    assert subscriptions == 0


def test_a_durable_command_s_answer_that_got_lost_is_found_where_it_is_kept(tmp_path: Path):
    async def scenario():
        async with service_and_client(tmp_path) as (service, client):
            async with writer_held(service):
                sending = asyncio.create_task(client.send_durable("app_state.set", {"key": "a", "value": 1}))
                await until(lambda: service.leading.writer.waiting == 1)
                transport = client.connection.nats._transport
                assert isinstance(transport, TcpTransport)
                assert transport._io_writer is not None
                transport._io_writer.transport.abort()
                await until(lambda: client.connection.losses == 1)
            return await sending

    assert asyncio.run(scenario()).position == 1


def test_a_durable_command_that_was_refused_may_go_through_later_under_its_id(tmp_path: Path):
    """The result of the refused attempt is still kept, and is not taken for the new attempt's."""

    async def scenario():
        async with service_and_client(tmp_path) as (_, client):
            command = app_state.Delete(key="later")
            with pytest.raises(NotFound):
                await client.send_durable(command, command_id="d-1")
            await set_keys(client, "later")
            return await client.send_durable(command, command_id="d-1")

    assert asyncio.run(scenario()).events == ["app_state.deleted.v1"]


def test_a_durable_command_is_carried_out_when_a_service_is_there_again(tmp_path: Path):
    async def scenario():
        async with NatsServer(data=tmp_path / "broker", port=0) as server, client_of(server) as client:
            async with serving(tmp_path / "data", server):
                pass
            with pytest.raises(Unreachable, match="is stored") as waited:
                await client.send_durable("app_state.set", {"key": "a", "value": 1}, timeout_seconds=3)
            stored = await client.send_durable("app_state.set", {"key": "b", "value": 1}, wait=False)
            waiting = asyncio.create_task(client.send_durable("app_state.set", {"key": "c", "value": 1}))
            async with serving(tmp_path / "data", server):
                answer = await waiting
                await until(lambda: has_rows(client, 3))
                events = (await client.read_events()).items
            return waited.value, stored, answer, events

    waited, stored, answer, events = asyncio.run(scenario())

    assert waited.may_have_been_carried_out
    by_key = {event.key: event.command_id for event in events}
    assert by_key == {"a": waited.command_id, "b": stored, "c": answer.command_id}


def test_without_a_service_a_command_has_certainly_not_been_carried_out(tmp_path: Path):
    async def scenario():
        async with NatsServer(data=tmp_path, port=0) as server, client_of(server) as client:
            found: list[Unreachable] = []

            async def has_certainly_not() -> bool:
                with pytest.raises(Unreachable) as raised:
                    await client.send("app_state.set", {"key": "a", "value": 1}, timeout_seconds=0.5)
                found.append(raised.value)
                # Unless the time was up while an attempt was under way.
                return not raised.value.may_have_been_carried_out

            await until(has_certainly_not)
            return found[-1]

    assert asyncio.run(scenario()).command_id


def test_a_service_that_comes_back_in_time_answers(tmp_path: Path):
    async def scenario():
        async with NatsServer(data=tmp_path / "broker", port=0) as server, client_of(server) as client:
            sent = asyncio.create_task(
                client.send("app_state.set", {"key": "a", "value": 1}, timeout_seconds=30)
            )
            asked = asyncio.create_task(client.query("app_state.count", timeout_seconds=30))
            async with serving(tmp_path / "data", server):
                return await sent, await asked

    answer, count = asyncio.run(scenario())

    assert answer.position == 1
    assert count["count"] in {0, 1}


def test_a_command_whose_answer_got_lost_is_asked_again_and_carried_out_once(tmp_path: Path):
    async def scenario():
        async with service_and_client(tmp_path) as (service, client):
            async with writer_held(service):
                sending = [
                    asyncio.create_task(
                        client.send(job_commands.Enqueue(type="sync", name=f"n{number}"), timeout_seconds=60)
                    )
                    for number in range(20)
                ]
                await until(lambda: service.leading.writer.waiting == len(sending))
                # The killed broker forgets which clients wait for answers, and their connections end.
                await nats_process.kill(broker_of(service))
                await until(lambda: service.leading.writer.waiting > len(sending))
            answers = await asyncio.gather(*sending)
            return answers, await client.read_events(), service.leading.writer.statistics.commands

    answers, page, commands = asyncio.run(scenario())

    assert sorted(answer.position or 0 for answer in answers) == list(range(1, 21))
    assert {answer.command_id for answer in answers} == {event.command_id for event in page.items}
    assert page.head == 20
    assert commands > 20


def test_unanswered_commands_may_have_been_carried_out(tmp_path: Path):
    async def scenario():
        async with service_and_client(tmp_path) as (service, client):
            async with writer_held(service):
                with pytest.raises(Unreachable) as raised:
                    await client.send("app_state.set", {"key": "a", "value": 1}, timeout_seconds=1)
            answer = await client.send(
                "app_state.set", {"key": "a", "value": 1}, command_id=raised.value.command_id or ""
            )
            return raised.value, answer

    unreachable, answer = asyncio.run(scenario())

    assert unreachable.may_have_been_carried_out
    assert (answer.command_id, answer.version) == (unreachable.command_id, 1)


def test_a_busy_service_is_asked_again_until_the_time_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Room for one waiting command, so that the next one is refused as busy.
    monkeypatch.setattr(bus.writing.waiting, "_ROOM_COMMANDS", 2)

    async def scenario():
        async with service_and_client(tmp_path) as (service, client):
            async with writer_held(service):
                first = asyncio.create_task(set_keys(client, "first"))
                await until(lambda: service.leading.writer.waiting == 1)

                async def is_busy() -> bool:
                    try:
                        await client.send("app_state.set", {"key": "x", "value": 1}, timeout_seconds=1)
                    except Busy:
                        return True
                    except Unreachable:
                        # The time was up while an attempt was under way.
                        return False
                    raise AssertionError("it was carried out")

                await until(is_busy)
                patient = asyncio.create_task(set_keys(client, "patient"))
                await until(lambda: has_refused(service, 5))
            return await first, await patient

    assert asyncio.run(scenario()) == (1, 2)


def test_requests_during_repeated_failures_of_the_broker_are_all_carried_out_once(tmp_path: Path):
    async def scenario():
        async with service_and_client(tmp_path) as (service, client):
            stop = asyncio.Event()
            positions: list[int] = []

            async def work(number: int) -> None:
                count = 0
                while not stop.is_set():
                    count += 1
                    answer = await client.send(
                        job_commands.Enqueue(type="sync", name="x", id=f"j-{number}-{count}"),
                        timeout_seconds=60,
                    )
                    positions.append(answer.position or 0)

            workers = [asyncio.create_task(work(number)) for number in range(8)]
            for _ in range(3):
                await until(partial(has_grown, positions, len(positions) + 50))
                await nats_process.kill(broker_of(service))
            stop.set()
            await asyncio.gather(*workers)
            return positions, service.leading.writer.head.position

    positions, head = asyncio.run(scenario())

    assert sorted(positions) == list(range(1, head + 1))


def test_a_message_that_no_broker_would_take_is_refused_here(tmp_path: Path):
    async def scenario():
        async with service_and_client(tmp_path) as (_, client):
            with pytest.raises(TooLarge) as refused:
                await client.send("app_state.set", {"key": "a", "value": "x" * 2_000_000})
            return refused.value, await set_keys(client, "b")

    refused, position = asyncio.run(scenario())

    assert refused.details["limit_bytes"] == 1024 * 1024
    assert position == 1


def test_nobody_is_waited_for_longer_than_the_connection_may_take(tmp_path: Path):
    async def scenario():
        async with NatsServer(data=tmp_path, port=0) as server:
            url = server.url_for(APP)
            wrong = url.replace(url.split(":")[2].split("@")[0], "wrong")
            with pytest.raises(
                Unreachable, match=r"lets us in at .*(?i:authorization|reset by peer)"
            ) as refused:
                async with connect(wrong, timeout_seconds=2):
                    pass
            nobody = f"nats://{url.rpartition('@')[2]}"
            with pytest.raises(Unreachable) as nameless:
                async with connect(nobody, timeout_seconds=2):
                    pass
            # The end of the connection may come before its reason.
            assert "reset by peer" in str(nameless.value) or "no user stands in" in nameless.value.hint
        with pytest.raises(Unreachable) as gone:
            async with connect(url, timeout_seconds=0.5):
                pass
        return str(refused.value), str(gone.value)

    for message in asyncio.run(scenario()):
        assert "127.0.0.1" in message
        assert "app:" not in message


def test_a_closed_client_says_so(tmp_path: Path):
    async def scenario():
        async with serving(tmp_path) as service:
            async with client_of(service) as client, writer_held(service):
                waiting = asyncio.create_task(set_keys(client, "a"))
                await until(lambda: service.leading.writer.waiting == 1)
            with pytest.raises(ClosedError):
                await waiting
            with pytest.raises(ClosedError):
                await client.query("jobs.count")
            with pytest.raises(ClosedError):
                await anext(client.subscribe())
            with pytest.raises(ClosedError):
                await client.wait_for("a")
            with pytest.raises(ClosedError):
                await Worker(client, {"sync": lambda _: None}).run()

    asyncio.run(scenario())


def test_another_prefix_is_another_store(tmp_path: Path):
    async def scenario():
        async with serving(tmp_path) as service, client_of(service, prefix="other") as client:
            with pytest.raises(Unreachable):
                await client.query("jobs.count", timeout_seconds=1)

    asyncio.run(scenario())


def test_what_a_client_was_answered_is_in_all_that_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(awaited_places, "LONGEST_WAIT_SECONDS", 600)

    one = msgspec.Raw(b"1")

    async def scenario():
        async with service_and_client(tmp_path) as (service, client), client_of(service) as other:
            seen = [client.seen.place]
            await set_keys(client, "a")
            seen.append(client.seen.place)
            await client.send_batch([app_state.Set(key=key, value=one) for key in "bcd"])
            seen.append(client.seen.place)
            await client.send_durable(app_state.Set(key="e", value=one))
            seen.append(client.seen.place)
            await set_keys(other, "f")
            await client.count("app_state")
            seen.append(client.seen.place)
            # A place that another process has seen and passed on to this client.
            client.seen.note(LogPlace(1, 7))
            asked = asyncio.create_task(client.count("app_state"))
            await until(lambda: service.requests.queries._awaited.waiting)
            await set_keys(other, "g")
            return seen, await asked

    seen, count = asyncio.run(scenario())

    assert seen == [None, "1-1", "1-4", "1-5", "1-6"]
    assert count == 7


def test_a_client_takes_whatever_it_reads_if_it_is_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(awaited_places, "LONGEST_WAIT_SECONDS", 600)

    async def scenario():
        async with (
            serving(tmp_path) as service,
            connect(broker_of(service).url_for(APP), reads_own_writes=False) as client,
        ):
            client.seen.note(LogPlace(1, 1_000))
            return await client.count("app_state")

    assert asyncio.run(scenario()) == 0


def test_what_another_store_had_is_not_asked_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(awaited_places, "LONGEST_WAIT_SECONDS", 0.01)

    async def scenario():
        async with service_and_client(tmp_path) as (_, client):
            await set_keys(client, "a")
            client.seen.note(LogPlace(1, 1_000))
            return await client.count("app_state"), client.seen.place

    assert asyncio.run(scenario()) == (1, "1-1")


def test_one_that_follows_is_asked_again_until_the_time_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(awaited_places, "LONGEST_WAIT_SECONDS", 0.01)

    async def scenario():
        async with service_and_client(tmp_path) as (service, client), client_of(service) as other:
            monkeypatch.setattr(service.requests.queries._awaited, "_leads", lambda: False)
            client.seen.note(LogPlace(1, 1))
            asked = asyncio.create_task(client.query("app_state.count", timeout_seconds=patiently(5)))
            await until(partial(has_refused, service, 2))
            await set_keys(other, "a")
            return (await asked)["count"], client.seen.place

    assert asyncio.run(scenario()) == (1, "1-1")
