"""Files with one log on a real nats-server: leaders that change, followers, a log that loses its end.

The broker is one for all stories; each begins without a log. The fate of a member that reads the log follows
only from its rows and those of the log.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, NamedTuple
from unittest.mock import patch

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from bus.broker import server
from bus.replication import following
from bus.replication.following import Follower
from bus.replication.frame import place_of
from bus.replication.log_stream import DivergedLogError, GapError, LogStreamError
from tests.lab.state_machines.playing import Machine, play
from tests.lab.state_machines.relaying import Bus
from tests.support.clock import HOUR_MS
from tests.support.patience import until
from tests.support.stores.looking_inside import log_of
from tests.support.stores.relaying import NAMES, Broker
from tests.support.stores.replicated import STORE_ID, FollowedFile, Led, leading, lose_tail, opened
from tests.support.stores.seeding import content_of
from tests.support.stores.writing import Sent

MEMBERS = ("a", "b", "c")
_members = st.sampled_from(MEMBERS)


class Answered(NamedTuple):
    """A leader's answer, and the log's last hash at that time."""

    sent: Sent
    body: bytes
    position: int
    hash: bytes


class Log(NamedTuple):
    """The content of the log: the hashes of all events up to its end, and where its first frame begins."""

    hashes: list[bytes]
    begins: int

    def verdict(self, hashes: list[bytes]) -> type[LogStreamError] | None:
        """Why a file with these events cannot follow; `None` if it can."""
        if len(hashes) < self.begins:
            return GapError
        both = min(len(hashes), len(self.hashes))
        return None if hashes[:both] == self.hashes[:both] else DivergedLogError


class Leader:
    """A member that leads, or has led."""

    def __init__(self, name: str, led: Led, stack: AsyncExitStack) -> None:
        self.name = name
        self.led = led
        self.stack = stack


class Followed:
    """A member that follows."""

    def __init__(self, broker: Broker, path: Path) -> None:
        self.file = FollowedFile(path)
        self.follower = Follower(broker.connection, NAMES, STORE_ID, self.file.applier)
        self.task = asyncio.create_task(self.follower.run())

    async def close(self) -> None:
        self.follower.stop()
        # The follower of an outdated file has already ended with an error that says why.
        with suppress(LogStreamError):
            await self.task
        self.file.connection.close()


class Replicating(Machine):
    """Three files, and the log between them."""

    bus: ClassVar[Bus]

    def __init__(self) -> None:
        super().__init__()
        self._around = TemporaryDirectory(prefix="replicating-")
        self._broker = self.bus.broker
        self._leaders: dict[str, Leader] = {}
        # The leader of the present term; others in `_leaders` do not know yet that theirs is over.
        self._leads: str | None = None
        self._following: dict[str, Followed] = {}
        # None if there is no stream.
        self._log: Log | None = None
        self._answered: list[Answered] = []
        self._has_lost = False
        self._sent = 0

    def _path(self, name: str) -> Path:
        return Path(self._around.name) / f"{name}.db"

    def _hashes(self, name: str) -> list[bytes]:
        return [row.hash for row in log_of(self._path(name))]

    def _run(self, scenario: Coroutine[Any, Any, Any]) -> Any:
        return self.bus.run(scenario)

    @initialize()
    def begin(self) -> None:
        for name in MEMBERS:
            opened(self._path(name), STORE_ID)[0].close()
        self._run(self._delete())
        self.lead("a")
        self.send(2, "set")

    async def _delete(self) -> None:
        await until(lambda: self._broker.connection.is_connected)
        if await self._broker.api.report(NAMES.log) is not None:
            await self._broker.api.delete(NAMES.log)

    def teardown(self) -> None:
        try:
            self.settle()
            self.counts.update(stories=1, answers=len(self._answered))
        finally:
            for name in MEMBERS:
                with suppress(Exception):
                    self._run(self._left(name))
            self._around.cleanup()

    # Members

    @rule(name=_members)
    def lead(self, name: str) -> None:
        """A member takes a term: it must have all events, or is refused."""
        self._run(self._left(name))
        hashes = self._hashes(name)
        log = self._log or Log(hashes, len(hashes))
        verdict = log.verdict(hashes)
        is_refused = self._run(self._lead(name))
        if verdict is not None:
            assert is_refused is not None, f"{name} leads, though {verdict.__name__}"
            self.counts["terms refused"] += 1
            return
        if is_refused is not None:
            raise AssertionError(f"{name} may lead: {is_refused}") from is_refused
        # Events that the log had lost and the file has were put back.
        found = self._hashes(name)
        assert found == max(log.hashes, hashes, key=len), f"{name} leads with something else"
        self._log, self._leads = Log(found, log.begins), name
        self.counts["terms"] += 1
        self._require_answers(name)

    async def _lead(self, name: str) -> Exception | None:
        stack = AsyncExitStack()
        await until(lambda: self._broker.connection.is_connected)
        try:
            led = await stack.enter_async_context(leading(self._broker, self._path(name), name))
        except LogStreamError as error:
            return error
        self._leaders[name] = Leader(name, led, stack)
        return None

    def _require_answers(self, name: str) -> None:
        """Checks that commands whose events are in the log get the same answers again."""
        assert self._log is not None
        store, hashes = self._leaders[name].led.store, self._log.hashes
        there = [one for one in self._answered if hashes[one.position - 1 : one.position] == [one.hash]]
        assert self._has_lost or len(there) == len(self._answered), (
            "answers are lost, and the broker lost nothing"
        )
        for one in there[-5:]:
            assert store.send_together(one.sent)[0].body == one.body, one.sent
        assert self._hashes(name) == hashes, "a command that was sent again did something"

    @rule(name=_members)
    def follow(self, name: str) -> None:
        self._run(self._follow(name))

    async def _follow(self, name: str) -> None:
        await self._left(name)
        self._following[name] = Followed(self._broker, self._path(name))

    @rule(name=_members)
    def leave(self, name: str) -> None:
        self._run(self._left(name))

    async def _left(self, name: str) -> None:
        if (leader := self._leaders.pop(name, None)) is not None:
            await leader.stack.aclose()
            if self._leads == name:
                self._leads = None
        if (followed := self._following.pop(name, None)) is not None:
            await followed.close()

    # Commands

    @precondition(lambda self: self._leads is not None)
    @rule(count=st.integers(1, 4), kind=st.sampled_from(["set", "set", "job"]))
    def send(self, count: int, kind: str) -> None:
        assert self._leads is not None
        assert self._log is not None
        leader = self._leaders[self._leads].led
        commands = self._commands(count, kind)
        replies = self._run(asyncio.to_thread(leader.store.send_together, *commands))
        assert not leader.ended, f"it leads, and ended: {leader.ended}"
        rows = leader.store.rows()
        hashes = [row.hash for row in rows]
        assert hashes[: len(self._log.hashes)] == self._log.hashes
        for sent, reply in zip(commands, replies, strict=True):
            assert reply.code is None, reply.said
            if reply["events"]:
                position = reply["position"]
                self._answered.append(Answered(sent, reply.body, position, hashes[position - 1]))
        self._log = self._log._replace(hashes=hashes)

    @precondition(lambda self: len(self._leaders) > (self._leads is not None))
    @rule()
    def send_to_one_that_led(self) -> None:
        """Checks that a leader whose term is over stores nothing, and says so."""
        for name, leader in self._leaders.items():
            if name != self._leads:
                before = self._hashes(name)
                (reply,) = self._run(
                    asyncio.to_thread(leader.led.store.send_together, *self._commands(1, "set"))
                )
                assert reply.code == "unavailable", f"{name} answers in a term that is over"
                assert leader.led.ended, f"{name} does not know that its term is over"
                assert self._hashes(name) == before

    def _commands(self, count: int, kind: str) -> list[Sent]:
        sent = []
        for _ in range(count):
            self._sent += 1
            number = self._sent
            if kind == "set":
                sent.append(Sent("app_state.set", {"key": f"k.{number % 3}", "value": number}, f"c{number}"))
            else:
                job = {"id": f"job-{number}", "type": "mail", "name": "A mail"}
                sent.append(Sent("jobs.enqueue", job, f"c{number}"))
                sent.append(Sent("jobs.claim", {"worker": "w", "lease_ms": HOUR_MS}, f"claim-{number}"))
        return sent

    # The broker

    @rule()
    def kill_the_broker(self) -> None:
        self._run(self._broker.kill())

    @precondition(lambda self: self._log is not None)
    @rule(count=st.integers(1, 4))
    def lose_the_end_of_the_log(self, count: int) -> None:
        # Each former leader notices it at once, as a leader at work does.
        self.send_to_one_that_led()
        if self._run(self._lose(count)):
            self._leads, self._has_lost = None, True
            self.send_to_one_that_led()

    async def _lose(self, count: int) -> int:
        """Loses the last messages of the log; returns how many."""
        await until(lambda: self._broker.connection.is_connected)
        messages = await self._broker.messages(NAMES.log)
        # The first one stays; otherwise it would be unknown where the log begins.
        count = min(count, len(messages) - 1)
        if count:
            await lose_tail(self._broker, count)
            assert self._log is not None
            end = place_of(NAMES.log, messages[-1 - count]).last
            self._log = self._log._replace(hashes=self._log.hashes[:end])
        return count

    @rule()
    def delete_the_log(self) -> None:
        for name in list(self._leaders):
            self._run(self._left(name))
        self._run(self._delete())
        self._log, self._leads, self._has_lost = None, None, True

    # What must hold in the end

    @rule()
    def settle(self) -> None:
        """Checks that each follower has all of the log, or says why it does not."""
        for name in list(self._following):
            self._run(self._require_settled(name))
        self.counts["settled"] += 1

    async def _require_settled(self, name: str) -> None:
        one = self._following[name]
        await until(lambda: self._broker.connection.is_connected)
        if self._log is None:
            await until(lambda: one.follower.state.problem is not None or one.task.done())
            return
        # The follower may have applied more events just before the log lost them.
        hashes = self._hashes(name)
        verdict, end = self._log.verdict(hashes), len(self._log.hashes)
        if verdict is GapError:
            await asyncio.wait({one.task}, timeout=30)
            assert isinstance(one.task.exception(), GapError), f"{name} cannot follow, and does not say so"
            await self._left(name)
        elif verdict is not None:
            # If the connection is lost, too, the follower reports that first.
            await until(
                lambda: one.follower.is_apart and "hyperpage cluster reseed" in str(one.follower.state.repair)
            )
            assert self._hashes(name) == hashes
            self.counts["apart"] += 1
        elif len(hashes) > end:
            await until(lambda: "has lost its end" in (one.follower.state.problem or ""))
        else:
            await until(lambda: one.follower.state.healthy and one.follower.head.position == end)
            await self._require_equal(name)
            self.counts["equal"] += 1

    async def _require_equal(self, name: str) -> None:
        assert self._log is not None
        assert self._hashes(name) == self._log.hashes
        if self._leads is not None:
            leader = self._leaders[self._leads].led.store
            expected = await asyncio.to_thread(leader.in_writer, content_of)
            assert content_of(self._following[name].file.connection) == expected, f"{name} has other rows"


def played(chance: int, *, stories: int, steps: int) -> dict[str, int]:
    """Plays with a broker of its own."""
    with (
        TemporaryDirectory(prefix="replicating-") as folder,
        patch.object(following, "LOOK_INTERVAL_MS", 30),
        # A nats-server comes back soon, even if it is often killed.
        patch.object(server, "STABLE_AFTER_MS", 0),
    ):
        bus = Bus(Path(folder))
        try:
            return play(
                type("Replicating", (Replicating,), {"bus": bus}), chance, stories=stories, steps=steps
            )
        finally:
            bus.close()
