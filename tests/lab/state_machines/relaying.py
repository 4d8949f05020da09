"""A log, its relay and a real nats-server, with any faults of its stream of events.

The broker is one for all stories; each begins without a stream.
"""

import asyncio
import shutil
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from unittest.mock import patch

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from bus.broker import server
from bus.publishing import relay as relays
from bus.publishing import stream_audit
from bus.publishing.relay import Relay
from bus.publishing.stream_state import OtherHistoryError
from hyperpage_client.tasks import cancel
from tests.lab.state_machines.playing import Machine, play
from tests.support.patience import until
from tests.support.stores.relaying import NAMES, Broker, Store

FOREIGN = "hyperpage.evt.v1.jobs.1.forged"


class Bus:
    """A broker, and the event loop that uses it and a relay."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.broker = Broker(folder / "broker")
        self.kept = folder / "kept"
        self.run(self.broker.open())

    def run(self, scenario: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(scenario)

    def close(self) -> None:
        self.run(self.broker.close())
        self.runner.close()


@contextmanager
def impatient() -> Iterator[None]:
    """Makes relay and audit look more often, and a nats-server come back soon, even if it is often killed."""
    with ExitStack() as stack:
        for module, name, value in (
            (server, "STABLE_AFTER_MS", 0),
            (relays, "LOOK_INTERVAL_MS", 50),
            (stream_audit, "LOOK_SECONDS", 0.02),
            (stream_audit, "PAUSES", 0),
            (stream_audit, "PAUSES_WHILE_BUSY", 0),
        ):
            stack.enter_context(patch.object(module, name, value))
        yield


class Relaying(Machine):
    """A log and its stream, with the faults of both."""

    bus: ClassVar[Bus]

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory(prefix="relaying-")
        self._broker = self.bus.broker
        self._store = Store(Path(self._folder.name) / "hyperpage.db")
        self._relay: Relay | None = None
        self._timeline = 1
        # Events that restores gave up, but that the stream may still have.
        self._given_up: set[bytes] = set()
        # True if there may be harm that only a refill repairs.
        self._is_harmed = False
        # True if the stream lost messages since the relay's start, which may report it only at the next one.
        self._has_lost = False
        self._is_kept = False
        self._run(self._begin())

    async def _begin(self) -> None:
        if await self._broker.api.report(NAMES.events) is not None:
            await self._broker.api.delete(NAMES.events)

    def _run(self, scenario: Coroutine[Any, Any, Any]) -> Any:
        return self.bus.run(scenario)

    def teardown(self) -> None:
        try:
            self.settle()
            self.counts.update(stories=1, events=self._store.head.position)
        finally:
            with suppress(Exception):
                self.stop()
            self._store.close()
            self._folder.cleanup()

    # The service

    @rule(count=st.integers(1, 12))
    def append(self, count: int) -> None:
        rows = self._store.append(count)
        if self._relay is not None:
            self._relay.notify(rows)

    @precondition(lambda self: self._relay is None)
    @rule(may_delete=st.booleans())
    def start(self, may_delete: bool) -> None:
        self._run(self._start(may_delete))

    async def _start(self, may_delete: bool) -> None:
        relay = Relay(self._broker.connection, NAMES, self._store.origin, self._store.readers.connection)
        await until(lambda: self._broker.connection.is_connected)
        try:
            await relay.prepare(may_delete=may_delete)
        except OtherHistoryError as error:
            if not self._is_harmed or "hyperpage stream refill --yes" not in str(error):
                raise
            # A message that was sent and deleted before the relay looked may have been one of a newer log.
            await self._begin()
            await relay.prepare()
            self._is_harmed = False
            self.counts["repaired"] += 1
        self._has_lost = False
        self._relay, self._running = relay, asyncio.create_task(relay.run())

    @precondition(lambda self: self._relay is not None)
    @rule()
    def stop(self) -> None:
        async def stopped(relay: Relay) -> None:
            relay.stop()
            await self._running

        if self._relay is not None:
            self._run(stopped(self._relay))
            self._relay = None

    @precondition(lambda self: self._relay is not None)
    @rule(seconds=st.sampled_from([0.0, 0.01, 0.1]))
    def go_on(self, seconds: float) -> None:
        self._run(asyncio.sleep(seconds))

    @precondition(lambda self: self._relay is None)
    @rule(share=st.floats(0, 1), count=st.integers(0, 5))
    def restore(self, share: float, count: int) -> None:
        """Sets the log back, and goes on in another timeline."""
        position = round(share * self._store.head.position)
        self._given_up.update(self._store.bodies(position))
        self._timeline += 1
        self._store.restore(position, timeline=self._timeline)
        self._store.append(count)

    @precondition(lambda self: self._relay is None)
    @rule(share=st.floats(0, 1), count=st.integers(0, 5))
    def serve_a_copy(self, share: float, count: int) -> None:
        """Checks that a copy with another history is refused if the stream has events that it lacks."""
        # No precondition, since what the relay has noticed by then differs from run to run.
        if self._is_harmed:
            return
        forks = [first for _, first in self._store.origin.timelines]
        position = max(round(share * self._store.head.position), forks[-1])
        if position > self._store.head.position:
            return
        there = set(self._run(self._bodies()))
        is_beyond = not there.isdisjoint(self._store.bodies(position))
        taken = self._store.set_back(position)
        self._store.append(count)
        relay = Relay(self._broker.connection, NAMES, self._store.origin, self._store.readers.connection)
        refused: OtherHistoryError | None = None
        try:
            self._run(relay.prepare())
        except OtherHistoryError as error:
            refused = error
        if is_beyond:
            assert refused is not None, "a copy would have published behind what it lacks"
        elif refused is not None:
            # Messages that are gone are noticed by their sequences.
            assert "ahead of the log" in refused.problem, refused
        self._store.set_back(position)
        self._store.put_back(taken)

    # The broker

    @rule()
    def kill_the_broker(self) -> None:
        self._run(self._broker.kill())

    @rule()
    def keep_what_the_broker_has(self) -> None:
        def keep() -> None:
            shutil.rmtree(self.bus.kept, ignore_errors=True)
            if self._broker.streams.exists():
                shutil.copytree(self._broker.streams, self.bus.kept)

        self._run(self._broker.restart(keep))
        self._is_kept = True

    @precondition(lambda self: self._is_kept)
    @rule()
    def roll_the_broker_back(self) -> None:
        """Makes the broker lose its last acknowledged messages, or all of them."""

        def roll_back() -> None:
            shutil.rmtree(self._broker.streams, ignore_errors=True)
            if self.bus.kept.exists():
                shutil.copytree(self.bus.kept, self._broker.streams)

        self._run(self._broker.restart(roll_back))
        # nats-server may find less in its files than it had reported.
        self._is_harmed = self._has_lost = True

    @rule()
    def send_a_foreign_message(self) -> None:
        if self._run(self._is_there()):
            self._run(self._broker.connection.request(FOREIGN, b"{}", timeout=30))
            self._is_harmed = True

    @rule(which=st.one_of(st.just(-1), st.integers(0, 30)))
    def delete_a_message(self, which: int) -> None:
        if messages := self._run(self._messages()):
            self._run(self._broker.delete_message(messages[which % len(messages)].sequence))
            self._is_harmed = self._has_lost = True

    @rule(keep=st.integers(0, 5))
    def purge(self, keep: int) -> None:
        if self._run(self._is_there()):
            which: dict[str, Any] = {"keep": keep} if keep else {}
            self._run(self._broker.purge(**which))
            self._has_lost = True

    @rule()
    def delete_the_stream(self) -> None:
        if self._run(self._is_there()):
            self._run(self._broker.api.delete(NAMES.events))
            self._is_harmed = False

    # What must hold in the end

    @rule()
    def settle(self) -> None:
        """Checks that the stream is the log, or that the relay says what has to be done."""
        if self._relay is None:
            self.start(False)
        self._run(self._settled())

    async def _settled(self) -> None:
        relay = self._relay
        assert relay is not None
        # The relay notices any remaining fault with the next event.
        relay.notify(self._store.append(1))
        head = self._store.head.position

        def is_through() -> bool:
            return relay.state.position == head and relay.state.healthy

        def is_told() -> bool:
            # A report about a stream that is gone ends with the relay's next look.
            return self._is_harmed and relay.state.repair is not None and self._broker.connection.is_connected

        try:
            await until(lambda: is_through() or is_told())
        except TimeoutError:
            raise AssertionError(f"nothing was done that needs a repair: {relay.state}") from None
        state = relay.state
        if state.healthy:
            await self._require_the_log(relay)
            self.counts["settled"] += 1
            return
        assert "hyperpage stream refill --yes" in str(state.repair)
        self._is_harmed = self._has_lost = False
        await relay.refill()
        await until(is_through)
        assert await self._bodies() == self._store.bodies(), "the stream is not the log after a refill"
        self.counts["repaired"] += 1

    async def _require_the_log(self, relay: Relay) -> None:
        found, log = await self._bodies(), self._store.bodies()
        places = {body: place for place, body in enumerate(log, start=1)}
        kept = [places[body] for body in found if body in places]
        others = [body for body in found if body not in places]
        assert len(set(found)) == len(found), "an event was published twice"
        assert kept == sorted(kept), "events are not in the order of the log"
        assert self._given_up.issuperset(others), (
            "what is no event of the log is there, and the relay is well"
        )
        missing = set(places.values()) - set(kept)
        # The audit's report about an earlier stream ends with its next whole look.
        before = relay.audit.state.whole_at
        auditing = asyncio.create_task(relay.audit.run())
        await until(
            lambda: (
                relay.audit.state.whole_at not in (None, before)
                and relay.audit.state.sequence == relay.audit.state.last_sequence
            )
        )
        await cancel(auditing)
        told = relay.audit.state.deleted + relay.audit.state.differing
        if missing:
            assert told or self._has_lost, f"nobody says that positions {sorted(missing)} are missing"
        elif not self._is_harmed and not self._given_up and not self._has_lost:
            assert not told, f"the audit tells of what is not so: {relay.audit.state}"

    async def _is_there(self) -> bool:
        return await self._broker.api.report(NAMES.events) is not None

    async def _messages(self) -> list[Any]:
        await until(lambda: self._broker.connection.is_connected)
        return await self._broker.messages() if await self._is_there() else []

    async def _bodies(self) -> list[bytes]:
        return [one.payload for one in await self._messages()]


def played(chance: int, *, stories: int, steps: int) -> dict[str, int]:
    """Plays with a broker of its own."""
    with TemporaryDirectory(prefix="relaying-") as folder, impatient():
        bus = Bus(Path(folder))
        try:
            return play(type("Relaying", (Relaying,), {"bus": bus}), chance, stories=stories, steps=steps)
        finally:
            bus.close()
