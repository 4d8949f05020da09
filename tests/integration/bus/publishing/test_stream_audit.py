"""The audit of the stream: it finds every message that was changed or deleted after publishing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from bus.publishing import stream_audit
from bus.publishing.stream_audit import AuditState, StreamAudit
from bus.transport.jetstream import JetStreamApi
from hyperpage_client.tasks import cancel
from hyperpage_client.transport.jetstream_answers import StoredMessage
from tests.support.patience import until
from tests.support.stores.cloud_events import cloud_event
from tests.support.stores.relaying import NAMES, Broker, Store, play, relayed


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_audit, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(stream_audit, "PAUSES", 0)
    monkeypatch.setattr(stream_audit, "PAUSES_WHILE_BUSY", 0)


@asynccontextmanager
async def audit_of(broker: Broker, store: Store, kept: Path | None = None) -> AsyncIterator[StreamAudit]:
    """An audit that runs, for the length of the block."""
    audit = StreamAudit(
        JetStreamApi(broker.connection),
        NAMES,
        store.origin,
        store.readers.connection,
        is_published=lambda: True,
        kept=kept,
    )
    running = asyncio.create_task(audit.run())
    try:
        yield audit
    finally:
        await cancel(running)


async def audited(broker: Broker, store: Store, kept: Path | None = None) -> AuditState:
    """The state of an audit once it has come to the end of the stream."""
    async with audit_of(broker, store, kept) as audit:
        await until(lambda: audit.state.whole_at and audit.state.sequence == audit.state.last_sequence)
        return audit.state


def test_a_stream_that_is_the_log_is_found_to_be_so_and_followed(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(700)
        await relayed(broker, store)
        async with audit_of(broker, store) as audit:
            await until(lambda: audit.state.whole_at)
            store.append(5)
            await relayed(broker, store)
            await until(lambda: audit.state.sequence == 705)
            assert (audit.state.last_sequence, audit.state.differing, audit.state.deleted) == (705, 0, 0)

    play(scenario, tmp_path)


def test_the_history_that_a_restore_gave_up_is_no_difference(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(9)
        await relayed(broker, store)
        store.restore(5, timeline=2)
        store.append(3)
        await relayed(broker, store)
        state = await audited(broker, store)
        assert (state.sequence, state.differing) == (13, 0)

    play(scenario, tmp_path)


def test_what_left_at_the_beginning_is_no_difference(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(20)
        await relayed(broker, store)
        await broker.purge(seq=8)
        state = await audited(broker, store)
        assert (state.sequence, state.differing, state.deleted) == (20, 0, 0)

    play(scenario, tmp_path)


def test_messages_that_were_deleted_are_found(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(2_000)
        await relayed(broker, store)
        await broker.delete_message(7)
        # All messages of one subject pattern.
        await broker.purge(filter="hyperpage.evt.v1.jobs.k=2E15.*")
        state = await audited(broker, store)
        assert [(one.sequence, one.problem) for one in state.differences] == [
            (7, "message 7 of HYPERPAGE_EVENTS is gone"),
            (15, "message 15 of HYPERPAGE_EVENTS is gone"),
        ]
        assert (state.differing, state.deleted) == (2, 2)

    play(scenario, tmp_path)


def test_a_large_gap_is_found_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stream_audit, "MAXIMUM_SEQUENCES", 10)

    async def scenario(broker: Broker, store: Store):
        store.append(50)
        await relayed(broker, store)
        for sequence in range(5, 45):
            await broker.delete_message(sequence)
        state = await audited(broker, store)
        assert (state.sequence, state.differing, len(state.differences)) == (50, 40, 5)

    play(scenario, tmp_path)


def test_a_message_in_the_place_of_an_event_is_found_whatever_it_claims_to_be(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(5)
        await relayed(broker, store)
        (row,) = store.append(1)
        # The forged message has the event's id, subject and hash: only a comparison with the log finds it.
        headers = {"Nats-Msg-Id": store.origin.event_id(6)}
        forged = cloud_event(store.origin, msgspec.structs.replace(row, data='{"n":0}'))
        await broker.connection.request(
            NAMES.event(row.stream, row.type), forged, timeout=30, headers=headers
        )
        store.append(5)
        await relayed(broker, store)
        state = await audited(broker, store)
        assert [(one.sequence, one.problem) for one in state.differences] == [
            (6, "message 6 of HYPERPAGE_EVENTS is not event 1-6 as the log has it")
        ]

    play(scenario, tmp_path)


def test_a_foreign_message_and_events_out_of_place_are_found(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        rows = store.append(4)
        await relayed(broker, store)
        for subject, body in (
            ("jobs.1.forged", b"{}"),
            ("jobs.k=2E4.enqueued", cloud_event(store.origin, rows[3])),
        ):
            # nats-server ends a batch with this header, so a message that has it might end the reading.
            headers = {"Status": "204"}
            await broker.connection.request(f"hyperpage.evt.v1.{subject}", body, timeout=30, headers=headers)
        store.append(2)
        state = await audited(broker, store)
        foreign, elsewhere = state.differences
        assert (foreign.sequence, elsewhere.sequence) == (5, 6)
        assert "jobs.1.forged) is not an event of this store" in foreign.problem
        assert elsewhere.problem == "message 6 of HYPERPAGE_EVENTS is event 1-4, which belongs elsewhere"

    play(scenario, tmp_path)


def test_a_message_that_the_broker_cannot_deliver_is_found(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(40, size=1_000)
        await relayed(broker, store)

        def damage() -> None:
            block = broker.streams / NAMES.events / "msgs" / "1.blk"
            content = bytearray(block.read_bytes())
            at = content.index(b'"id":"1-20"')
            content[at + 40] ^= 0xFF
            block.write_bytes(bytes(content))

        await broker.restart(damage)
        await broker.reconnect()
        state = await audited(broker, store)
        assert state.differences
        assert state.differences[0].sequence == 20

    play(scenario, tmp_path)


def test_a_log_that_was_changed_is_not_blamed_on_the_stream(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(9)
        await relayed(broker, store)
        store.forge(4, data='{"n":0}')
        store.damage_text(7)
        store.empty(8, "hash")
        state = await audited(broker, store)
        assert (state.sequence, state.differing) == (9, 0)

    play(scenario, tmp_path)


def test_an_event_of_which_no_message_can_be_made_hides_nothing_behind_it(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(20)
        await relayed(broker, store)
        store.forge(3, metadata='{"actor": "x')
        await broker.delete_message(15)
        state = await audited(broker, store)
        assert (state.sequence, [one.sequence for one in state.differences]) == (20, [15])

    play(scenario, tmp_path)


def test_a_restart_goes_on_and_finds_again_what_differs(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        kept = tmp_path / "audit.json"
        store.append(600)
        await relayed(broker, store)
        assert (await audited(broker, store, kept)).differing == 0
        # The audit goes on behind this message, and only reads from the beginning again the next day.
        await broker.delete_message(300)
        state = await audited(broker, store, kept)
        assert (state.sequence, state.differing, state.deleted) == (600, 0, 1)

        store.append(10)
        await relayed(broker, store)
        await broker.delete_message(605)
        for _ in range(2):
            state = await audited(broker, store, kept)
            assert [one.sequence for one in state.differences] == [605]

        await broker.api.delete(NAMES.events)
        await relayed(broker, store)
        state = await audited(broker, store, kept)
        assert (state.sequence, state.differing, state.deleted) == (610, 0, 0)

    play(scenario, tmp_path)


def test_all_is_compared_again_a_day_later(tmp_path: Path):
    async def scenario(broker: Broker, store: Store):
        store.append(20)
        await relayed(broker, store)
        now = 1_000_000
        audit = StreamAudit(
            JetStreamApi(broker.connection),
            NAMES,
            store.origin,
            store.readers.connection,
            is_published=lambda: True,
            now_ms=lambda: now,
        )
        running = asyncio.create_task(audit.run())
        await until(lambda: audit.state.whole_at)
        await broker.delete_message(3)
        now += stream_audit.REPEAT_MS
        await until(lambda: audit.state.differing == 1)
        await cancel(running)

    play(scenario, tmp_path)


@pytest.mark.parametrize("is_whole", [True, False], ids=["after it", "within it"])
def test_a_pass_that_began_while_the_clock_was_ahead_is_repeated(tmp_path: Path, is_whole: bool):
    async def scenario(broker: Broker, store: Store):
        store.append(20)
        await relayed(broker, store)
        right, ahead = 1_000_000, 1_000_000 + 365 * stream_audit.REPEAT_MS
        times = [ahead] if is_whole else [ahead, right]
        kept = tmp_path / "audit.json"
        audit = StreamAudit(
            JetStreamApi(broker.connection),
            NAMES,
            store.origin,
            store.readers.connection,
            is_published=lambda: True,
            kept=kept,
            now_ms=lambda: times.pop(0) if len(times) > 1 else times[0],
        )
        running = asyncio.create_task(audit.run())
        await until(lambda: audit.state.whole_at)
        times.append(right)
        await until(lambda: stream_audit.decode_place(kept.read_bytes()).began_at == right)
        await cancel(running)

    play(scenario, tmp_path)


def test_what_a_replica_does_not_have_yet_is_no_difference(tmp_path: Path):
    class Replica(JetStreamApi):
        asked = 0

        async def messages_from(self, stream: str, sequence: int) -> list[StoredMessage]:
            self.asked += 1
            found = await super().messages_from(stream, sequence)
            return [one for one in found if one.sequence <= 15 or self.asked > 3]

    async def scenario(broker: Broker, store: Store):
        store.append(20)
        await relayed(broker, store)
        audit = StreamAudit(
            Replica(broker.connection),
            NAMES,
            store.origin,
            store.readers.connection,
            is_published=lambda: True,
        )
        running = asyncio.create_task(audit.run())
        await until(lambda: audit.state.whole_at)
        await cancel(running)
        assert (audit.state.sequence, audit.state.differing) == (20, 0)

    play(scenario, tmp_path)
