"""Several applications of one service, which note all commands and answers, with their times.

They use it as documented: commands with their own ids, sent again under the same id until they are answered;
durable ones with an id and without; and the events, followed from the last one that was seen.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from bus.client import ChangeEvent, ClosedError, Unreachable, connect
from bus.log.chain import Row
from domain.catalogue import TIMELINE_FORKED
from domain.errors import Refusal
from hyperpage_client.contract.subjects import escape
from tests.lab.experiment import Broken
from tests.lab.oracle import Answered
from tests.support.patience import patiently, until
from tests.support.services.raw_nats import Message, RawNats

ANSWER_SECONDS = patiently(3.0)
PAUSE_SECONDS = 0.05
ANSWERED_WITHIN_SECONDS = 60.0
# Refusals that any command may get at any time: it was not carried out, and may be sent again.
NOT_NOW = ("busy", "unavailable")
ANONYMOUS = "anonymous-"

Command = tuple[str, dict[str, Any]]


class Told(NamedTuple):
    """A command that was accepted; `at_ns` is when the answer arrived, by the monotonic clock."""

    at_ns: int
    answered: Answered


class Seen(NamedTuple):
    """An event that a subscriber got."""

    at_ns: int
    event: ChangeEvent


class Applications:
    """Several applications and the answers that they got, kept from one `at_work` to the next.

    `url` returns the service's present address; it may raise while there is none. An application that has no
    answer after `answer_seconds` sends the command again, later, under the same id.
    """

    def __init__(
        self,
        url: Callable[[], str],
        chance: random.Random,
        *,
        connections: int = 3,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._url = url
        self.chance = chance
        self._connections = connections
        self.answer_seconds = answer_seconds
        self._stopped = asyncio.Event()
        # The seed is in each name, so that a trial that is played again sends the same.
        self._name = f"{chance.randrange(2**32):08x}"
        self._sent = 0
        self.commands: dict[str, Command] = {}
        self.open: dict[str, Command] = {}
        """Those with an id that nobody knows the outcome of."""
        self.put_off: dict[str, str] = {}
        """What was said last to those that may be sent again, by their ids."""
        self.told: list[Told] = []
        self._answers: dict[str, bytes] = {}
        self.stored: dict[str, int] = {}
        """When JetStream acknowledged a durable command, by its id; of one without an id by its key."""
        self.seen: list[Seen] = []
        self.broken: list[str] = []

    async def run(self) -> None:
        """Sends and follows until `at_work` ends.

        Raises:
            Broken: an answer was wrong in itself, or differed from an earlier one.
        """
        self._stopped.clear()
        works = [self._connected(self._asking, self._asking, self._storing) for _ in range(self._connections)]
        tasks = [asyncio.create_task(work) for work in (*works, self.follow())]
        try:
            await self._stopped.wait()
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError):
                raise end
        if self.broken:
            raise Broken(self.broken[0])

    def undo(self, rows: Iterable[Row]) -> None:
        """Forgets the answers that the restores in a log undid: later ones, and those without an event."""
        for row in rows:
            if row.type == TIMELINE_FORKED:
                timeline = json.loads(row.data or "")["timeline"]
                self.told = [one for one in self.told if not _is_undone(one.answered, timeline, row.position)]

    def restored(self) -> None:
        """Forgets the commands without an id that were stored before: a restore may have undone them."""
        self.stored = {one: when for one, when in self.stored.items() if not one.startswith(ANONYMOUS)}

    @property
    def is_at_work(self) -> bool:
        return not self._stopped.is_set()

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Runs the applications for the length of the block.

        Raises:
            Broken: as `run`.
        """
        working = asyncio.create_task(self.run())
        try:
            yield
        finally:
            self._stopped.set()
            await working

    async def are_answered(self, count: int) -> None:
        """Returns when `count` more commands have got an answer.

        Raises:
            Broken: they get none.
        """
        enough = len(self.told) + count
        try:
            await until(lambda: self.broken or len(self.told) >= enough, ANSWERED_WITHIN_SECONDS)
        except TimeoutError:
            raise Broken(
                f"only {len(self.told) - enough + count} of {count} commands were answered"
            ) from None
        if self.broken:
            raise Broken(self.broken[0])

    def use(self, url: Callable[[], str]) -> None:
        """Sets the address of the service from now on."""
        self._url = url

    def as_of(self, at_ns: int) -> "Applications":
        """The same applications, as if no answer had arrived from that moment on."""
        then = Applications(self._url, random.Random(self.chance.randrange(2**32)))
        then.commands = dict(self.commands)
        then.told = [one for one in self.told if one.at_ns < at_ns]
        then._answers = {one.answered.command_id: one.answered.answer for one in then.told}
        then.open = {one: what for one, what in self.commands.items() if one not in then._answers}
        then.stored = {one: when for one, when in self.stored.items() if when < at_ns}
        then.seen = [one for one in self.seen if one.at_ns < at_ns]
        return then

    @property
    def answered(self) -> list[Answered]:
        """The accepted commands, with their answers."""
        return [one.answered for one in self.told]

    @property
    def handled(self) -> list[ChangeEvent]:
        """The events that were seen, except those that a restore has undone since."""
        kept: list[ChangeEvent] = []
        for _, event in self.seen:
            if event.type == TIMELINE_FORKED:
                kept = [one for one in kept if one.position < event.position]
            kept.append(event)
        return kept

    async def ask(self, client: RawNats, command_id: str, command: Command) -> bytes | None:
        """The answer to a command, which is noted; `None` if it may be sent again.

        Raises:
            Broken: it was refused for no reason, or answered otherwise than before.
        """
        self.commands.setdefault(command_id, command)
        self.open[command_id] = command
        name, body = command
        try:
            async with asyncio.timeout(self.answer_seconds):
                answer = await client.ask(
                    f"hyperpage.cmd.v1.{name}", body, {"Hyperpage-Command-Id": command_id}
                )
        except TimeoutError:
            self.put_off[command_id] = f"nothing within {self.answer_seconds:g} s"
            return None
        return self.take(command_id, answer)

    async def store(self, client: RawNats, command_id: str | None, command: Command) -> bool:
        """Sends a durable command; returns True if JetStream acknowledges it."""
        name, body = command
        headers = None
        if command_id is not None:
            self.commands.setdefault(command_id, command)
            self.open[command_id] = command
            headers = {"Hyperpage-Command-Id": command_id}
        try:
            async with asyncio.timeout(self.answer_seconds):
                answer = await client.ask(f"hyperpage.dcmd.v1.{name}", body, headers)
        except TimeoutError:
            return False
        if answer.status is not None or "seq" not in answer.said:
            return False
        self.stored[command_id or body["key"]] = time.monotonic_ns()
        return True

    def next_command(self) -> tuple[str, Command]:
        """A new command and its id; or one that was sent before, and has got no answer."""
        again = list(self.unanswered.items())
        if again and self.chance.random() < 0.2:
            return self.chance.choice(again)
        return self.new_command()

    def new_command(self) -> tuple[str, Command]:
        """A command that was not sent before, and its id."""
        self._sent += 1
        return f"{self._name}-{self._sent}", self._command()

    @property
    def unanswered(self) -> dict[str, Command]:
        """The commands that may be sent again; no claims, since a second one may find other jobs."""
        return {one: command for one, command in self.open.items() if command[0] != "jobs.claim"}

    def anonymous(self) -> Command:
        """A command without an id, for which the service makes one."""
        self._sent += 1
        return "app_state.set", {"key": f"{ANONYMOUS}{self._name}-{self._sent}", "value": 1}

    def _command(self) -> Command:
        number = self.chance.randrange(50)
        commands: list[Command] = [
            ("app_state.set", {"key": f"key-{number}", "value": self.chance.random()}),
            ("app_state.set", {"key": f"large-{number}", "value": "x" * self.chance.randrange(20_000)}),
            (
                "app_state.set_many",
                {"items": [{"key": f"{self._name}-{self._sent}-{n}", "value": n} for n in range(3)]},
            ),
            ("jobs.enqueue", {"type": "sync", "name": f"job {number}", "payload": {"number": number}}),
            ("jobs.claim", {"worker": "worker", "limit": 2}),
            ("tool_configs.set", {"tool_name": f"tool-{number}", "config": {"x": self.chance.random()}}),
        ]
        return self.chance.choice(commands)

    @property
    def last_position(self) -> int:
        """The position of the last event that was seen."""
        return self.seen[-1].event.position if self.seen else 0

    def take(self, command_id: str, answer: Message) -> bytes | None:
        """The answer to a command, which is noted; `None` if it may be sent again.

        Raises:
            Broken: it was refused for no reason, or answered otherwise than before.
        """
        if answer.status is not None:
            # No service is there.
            self.put_off[command_id] = f"status {answer.status}"
            return None
        name, _ = self.commands[command_id]
        if answer.code is not None:
            # A command that was being decided at two kills is a dead letter, as documented.
            if answer.code in NOT_NOW or b"the service went down" in answer.body:
                self.put_off[command_id] = answer.body.decode()
                return None
            raise Broken(f"{name} was refused: {answer.body!r}")
        told = Answered(command_id, name, answer.body)
        before = self._answers.setdefault(command_id, answer.body)
        is_later = answer.said["timeline"] > json.loads(before)["timeline"]
        if before != answer.body and told._replace(answer=before).is_remembered and not is_later:
            raise Broken(f"{name} was answered with {before!r}, and under the same id with {answer.body!r}")
        if command_id in self.open:
            del self.open[command_id]
            self.told.append(Told(time.monotonic_ns(), told))
        return answer.body

    async def _connected(self, *works: Callable[[RawNats], Any]) -> None:
        """Runs all works on a connection, and on a new one when that ends."""
        while True:
            try:
                async with await RawNats.connect(self._url()) as client:
                    tasks = [asyncio.create_task(work(client)) for work in works]
                    tasks.append(asyncio.create_task(self._results(client)))
                    try:
                        await asyncio.gather(*tasks)
                    finally:
                        for task in tasks:
                            task.cancel()
                        await asyncio.gather(*tasks, return_exceptions=True)
            except Broken as error:
                self.broken.append(str(error))
                self._stopped.set()
                return
            except (OSError, TimeoutError, AssertionError):
                # There is no broker, or not yet, or the address is old.
                await asyncio.sleep(PAUSE_SECONDS)

    async def _asking(self, client: RawNats) -> None:
        while True:
            if await self.ask(client, *self.next_command()) is None:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _storing(self, client: RawNats) -> None:
        while True:
            if self.chance.random() < 0.3:
                await self.store(client, None, self.anonymous())
            else:
                command_id, command = self.next_command()
                # A claim that found nothing is delivered again if its acknowledgement is lost, and may
                # find jobs then.
                is_good = command_id not in self.stored and command[0] != "jobs.claim"
                if is_good and await self.store(client, command_id, command):
                    await self._answered(command_id)
            await asyncio.sleep(self.chance.random() * PAUSE_SECONDS)

    async def _answered(self, command_id: str) -> None:
        with suppress(TimeoutError):
            await until(lambda: command_id not in self.open, self.answer_seconds)

    async def _results(self, client: RawNats) -> None:
        """Notes the answers to durable commands."""
        results = client.subscribe("hyperpage.res.v1.>")
        ids = {escape(command_id): command_id for command_id in self.commands}
        while True:
            message = await results.get()
            token = message.subject.removeprefix("hyperpage.res.v1.")
            if token not in ids:
                ids |= {escape(command_id): command_id for command_id in self.commands}
            if token in ids:
                self.take(ids[token], message)

    async def follow(self, enough: Callable[[], bool] = lambda: False) -> None:
        """Follows the events from the last one that was seen, until `enough`."""
        while not enough():
            try:
                async with connect(self._url()) as client:
                    after = self.seen[-1].event.id if self.seen else None
                    async with client.subscribe(after=after) as events:
                        async for event in events:
                            self._note(event)
                            if enough():
                                return
            except (OSError, ClosedError, Unreachable, Refusal, AssertionError):
                await asyncio.sleep(PAUSE_SECONDS)

    def _note(self, event: ChangeEvent) -> None:
        last = self.seen[-1].event if self.seen else None
        expected = 1 if last is None else last.position + 1
        if event.type != TIMELINE_FORKED and event.position != expected:
            self.broken.append(f"a subscriber saw {event.id} after {None if last is None else last.id}")
            self._stopped.set()
        self.seen.append(Seen(time.monotonic_ns(), event))


def _is_undone(answered: Answered, timeline: int, position: int) -> bool:
    """True if an answer was undone by the restore to before that position, which began that timeline."""
    said = json.loads(answered.answer)
    return said["timeline"] < timeline and (not said["events"] or said["position"] >= position)


def is_anonymous(stream: str) -> bool:
    """True if a stream is that of a command without an id."""
    return stream.startswith(f"app_state/{ANONYMOUS}")
