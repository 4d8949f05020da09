"""Mirrors: a bucket holds the rows of its table, also after the bucket was changed or lost."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import apsw
import nats
import pytest
from nats.js.errors import KeyNotFoundError
from nats.js.kv import KeyValue

from bus.broker.users import APP
from bus.contract.rights import Principal
from bus.contract.senders import UserSubjects
from bus.publishing.mirror import Mirror
from bus.publishing.mirrors import Mirrors
from bus.publishing.relay import Relay
from bus.serving.admission import Admission
from bus.serving.stream_access import StreamAccess
from bus.transport.jetstream import JetStreamError
from hyperpage_client.tasks import cancel
from ops.store.tables import MirroredRows
from tests.support.patience import patiently, until
from tests.support.stores.relaying import NAMES, Broker, Store, play

CONFIGS, STATE = NAMES.buckets


def test_what_the_table_has_is_in_the_bucket_from_the_start(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.set_state(**{f"key.{number}": str(number) for number in range(300)}, theme='"dark"')
        async with mirrors_of(broker, store) as mirrors:
            assert await mirrors.drain(30_000)
        entry = await (await bucket(broker)).get("theme")
        assert entry.value is not None
        return await contents(broker), json.loads(entry.value)

    found, row = play(scenario, tmp_path)

    assert len(found) == 301
    assert found["key=2E7"]["value"] == 7
    assert row == {
        "key": "theme",
        "value": "dark",
        "updated_at": row["updated_at"],
        "version": 301,
        "position": 301,
        "expires_at": None,
    }


def test_the_buckets_are_there_once_prepared(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        mirrors = made(broker, store)
        await mirrors.prepare()
        for name in NAMES.buckets:
            await broker.connection.jetstream().key_value(name)
        assert [(one.table, one.bucket) for one in mirrors.state] == [
            ("tool_configs", CONFIGS),
            ("app_state", STATE),
        ]

    play(scenario, tmp_path)


def test_a_watcher_sees_each_change(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        async with mirrors_of(broker, store) as mirrors:
            await mirrors.drain(30_000)
            subjects = UserSubjects(NAMES)
            admission = Admission(subjects, lambda user: Principal(name=user))
            access = StreamAccess(broker.connection, subjects, key=b"k", admission=admission)
            await access.start()
            application = await nats.connect(broker.server.url_for(APP))
            kv = await application.jetstream().key_value(STATE)
            watcher = await kv.watchall()
            assert await watcher.updates(timeout=30) is None
            seen = []
            for value in ("1", "2", None, "3"):
                mirrors.notify(store.set_state(a=value))
                entry = await watcher.updates(timeout=30)
                assert entry is not None
                seen.append((entry.key, entry.operation, entry.value and json.loads(entry.value)["value"]))
            await watcher.stop()
            await application.close()
            await access.stop()
        return seen

    assert play(scenario, tmp_path) == [("a", None, 1), ("a", None, 2), ("a", "DEL", b""), ("a", None, 3)]


def test_many_changes_of_one_key_become_few_writes(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        async with mirrors_of(broker, store) as mirrors:
            await mirrors.drain(30_000)
            for number in range(500):
                mirrors.notify(store.set_state(a=str(number)))
            assert await mirrors.drain(30_000)
            entry = await (await bucket(broker)).get("a")
        return json.loads(entry.value or b""), entry.revision

    row, writes = play(scenario, tmp_path)

    assert (row["value"], row["position"]) == (499, 500)
    assert writes < 50


def test_events_of_other_tables_are_passed_over(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        async with mirrors_of(broker, store) as mirrors:
            await mirrors.drain(30_000)
            mirrors.notify(store.append(10))
            assert [one.waiting for one in mirrors.state] == [0, 0]
        return await contents(broker)

    assert play(scenario, tmp_path) == {}


def test_what_changed_while_nobody_was_there_is_made_up_for(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.set_state(same="1", changed="1", gone="1")
        async with mirrors_of(broker, store) as mirrors:
            await mirrors.drain(30_000)
        before = await last_sequence(broker)
        store.set_state(changed="2", gone=None, new="1")
        kv = await bucket(broker)
        # A key that no row can have.
        await kv.put("not.one.of.ours", b"1")
        async with mirrors_of(broker, store) as mirrors:
            await mirrors.drain(30_000)
        with pytest.raises(KeyNotFoundError):
            await kv.get("not.one.of.ours")
        return await contents(broker), await last_sequence(broker) - before

    found, writes = play(scenario, tmp_path)

    assert {key: row["value"] for key, row in found.items()} == {"same": 1, "changed": 2, "new": 1}
    # The foreign put, and one write for each row that differed.
    assert writes == 1 + 4


def test_more_changes_than_may_wait_become_a_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bus.publishing.mirror.MAXIMUM_WAITING_KEYS", 20)

    async def scenario(broker: Broker, store: Store):
        async with mirrors_of(broker, store) as mirrors:
            await mirrors.drain(30_000)
            mirrors.notify(store.set_state(**{f"key{number}": "1" for number in range(100)}))
            assert mirrors.state[1].waiting <= 20
            assert await mirrors.drain(30_000)
        return await contents(broker)

    assert len(play(scenario, tmp_path)) == 100


@pytest.mark.parametrize("blow", ["deleted", "purged", "written to"])
@pytest.mark.parametrize("busy", [False, True])
def test_a_bucket_that_somebody_changed_is_put_right(tmp_path: Path, blow: str, busy: bool):
    async def scenario(broker: Broker, store: Store):
        async with mirrors_of(broker, store) as mirrors:
            mirrors.notify(store.set_state(a="1", b="1"))
            await mirrors.drain(30_000)
            if blow == "deleted":
                await broker.connection.jetstream().delete_key_value(STATE)
            elif blow == "purged":
                await broker.purge(f"KV_{STATE}")
            else:
                await (await bucket(broker)).put("a", b"{}")
            if busy:
                mirrors.notify(store.set_state(c="1"))
            await until_bucket_holds(broker, {"a": 1, "b": 1, **({"c": 1} if busy else {})})
            await until(lambda: mirrors.state[1].healthy)

    play(scenario, tmp_path)


def test_somebody_elses_write_hides_none_of_many(tmp_path: Path):
    """Another client's write takes one message's sequence; messages behind it must not hide its refusal."""

    async def scenario(broker: Broker, store: Store):
        keys = [f"k{number}" for number in range(200)]
        store.set_state(**dict.fromkeys(keys, "1"))
        async with mirrors_of(broker, store) as mirrors:
            await mirrors.drain(30_000)
            connection, publish = broker.connection, broker.connection.publish_encoded

            async def publish_behind(messages: bytes, count: int) -> None:
                if count > 1:
                    connection.publish_encoded = publish  # type: ignore[method-assign]
                    # Through the relay user, as no other user may.
                    await connection.request(f"$KV.{STATE}.k199", b'{"value": 3}', timeout=30)
                await publish(messages, count)

            connection.publish_encoded = publish_behind  # type: ignore[method-assign]
            mirrors.notify(store.set_state(**dict.fromkeys(keys[:50], "2")))
            values = {key: 2 if number < 50 else 1 for number, key in enumerate(keys)}
            await until_bucket_holds(broker, values)

    play(scenario, tmp_path)


def test_a_killed_broker_costs_the_mirrors_nothing(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        expected = {}
        async with mirrors_of(broker, store) as mirrors:
            for round_number in range(4):
                for number in range(50):
                    mirrors.notify(store.set_state(**{f"key{number}": str(round_number)}))
                    expected[f"key{number}"] = round_number
                    await asyncio.sleep(0)
                await broker.kill()
            await until_bucket_holds(broker, expected)

    play(scenario, tmp_path)


def test_a_broken_bucket_holds_up_nothing_but_itself(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        # Its subjects are taken, so the bucket cannot be made.
        await broker.connection.jetstream().add_stream(name="THIEF", subjects=[f"$KV.{CONFIGS}.>"])
        relay = Relay(broker.connection, NAMES, store.origin, store.readers.connection)
        running = asyncio.create_task(relay.run())
        async with mirrors_of(broker, store) as mirrors:
            rows = store.set_state(a="1")
            mirrors.notify(rows)
            relay.notify(rows)
            await until_bucket_holds(broker, {"a": 1})
            assert await relay.drain(30_000)
            await until(lambda: "subjects overlap" in (mirrors.state[0].problem or ""))
            await until(lambda: mirrors.state[1].healthy)
            assert not mirrors.state[0].healthy

            await broker.connection.jetstream().delete_stream("THIEF")
            await until(lambda: mirrors.state[0].healthy)
        relay.stop()
        await running

    play(scenario, tmp_path)


def test_a_table_that_cannot_be_read_for_a_while_is_a_problem_for_as_long(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        rows = MirroredRows(store.readers)
        failing = True

        def row_json(table: str, key: str) -> bytes | None:
            if failing:
                raise apsw.IOError("the disk does not answer")
            return rows.row_json(table, key)

        store.set_state(a="1")
        mirrors = Mirrors(broker.connection, NAMES, row_json, rows.all_rows)
        running = asyncio.create_task(mirrors.run())
        await until(lambda: mirrors.state[1].problem == "the disk does not answer")
        failing = False
        await until(lambda: mirrors.state[1].healthy)
        mirrors.stop()
        await running
        return await contents(broker)

    assert play(scenario, tmp_path).keys() == {"a"}


def test_a_broker_that_hangs_is_a_problem_until_it_goes_on(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        async with mirrors_of(broker, store) as mirrors:
            await mirrors.drain(30_000)
            broker.signal(signal.SIGSTOP)
            mirrors.notify(store.set_state(a="1"))
            await until(lambda: not mirrors.state[1].healthy, seconds=30)
            broker.signal(signal.SIGCONT)
            await until_bucket_holds(broker, {"a": 1})

    play(scenario, tmp_path)


def test_the_mirrors_end_also_when_one_of_them_loses_its_cancellation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usual = Mirror.run

    async def deaf_once(self: Mirror) -> None:
        with suppress(asyncio.CancelledError):
            await usual(self)
        await asyncio.Event().wait()

    async def scenario(broker: Broker, store: Store):
        mirrors = made(broker, store)
        running = asyncio.create_task(mirrors.run())
        assert await mirrors.drain(30_000)
        async with asyncio.timeout(30):
            await cancel(running)
        assert running.cancelled()

    monkeypatch.setattr(Mirror, "run", deaf_once)
    play(scenario, tmp_path)


def made(broker: Broker, store: Store) -> Mirrors:
    rows = MirroredRows(store.readers)
    return Mirrors(broker.connection, NAMES, rows.row_json, rows.all_rows)


@asynccontextmanager
async def mirrors_of(broker: Broker, store: Store) -> AsyncIterator[Mirrors]:
    """Mirrors that run, for the length of the block."""
    mirrors = made(broker, store)
    running = asyncio.create_task(mirrors.run())
    try:
        yield mirrors
    finally:
        mirrors.stop()
        await running


async def bucket(broker: Broker) -> KeyValue:
    return await broker.connection.jetstream().key_value(STATE)


async def contents(broker: Broker) -> dict[str, Any]:
    """The rows in the bucket of `app_state`.

    Not through `watchall` of nats-py: it may say that there is nothing while 300 rows are on their way, and
    asked again and again under load it makes consumers without end.
    """
    found: dict[str, Any] = {}
    sequence = 1
    while messages := await broker.api.messages_from(f"KV_{STATE}", sequence):
        for message in messages:
            key = message.subject.removeprefix(f"$KV.{STATE}.")
            if {"KV-Operation", "Nats-Marker-Reason"} & message.headers.keys():
                found.pop(key, None)
            else:
                found[key] = json.loads(message.payload)
        sequence = messages[-1].sequence + 1
    return found


async def last_sequence(broker: Broker) -> int:
    report = await broker.api.report(f"KV_{STATE}")
    assert report is not None
    return report.state.last_seq


async def until_bucket_holds(broker: Broker, values: dict[str, int]) -> None:
    async with asyncio.timeout(patiently(5)):
        while True:
            try:
                found = await contents(broker)
            # The bucket may be away, and so may the broker.
            except JetStreamError:
                found = {}
            if {key: row.get("value") for key, row in found.items()} == values:
                return
            await asyncio.sleep(0.01)
