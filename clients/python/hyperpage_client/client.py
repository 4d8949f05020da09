"""The client of a service, with all that it can do: `Client`."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Literal, Unpack, overload

import msgspec

from hyperpage_client.answers.jobs import JobRow
from hyperpage_client.asking.batch import Batch
from hyperpage_client.asking.connection import ClientConnection, Unreachable
from hyperpage_client.asking.durable import DurableSender
from hyperpage_client.asking.outgoing import About, BatchCommand, Outgoing, batch_item, headers_about
from hyperpage_client.asking.seen import Seen
from hyperpage_client.contract.commands import CommandAnswer
from hyperpage_client.contract.headers import READ
from hyperpage_client.contract.log_place import LEADER
from hyperpage_client.contract.subjects import BATCH, BusNames
from hyperpage_client.documents import encode
from hyperpage_client.errors import Behind, Busy, Refusal, Unavailable, refusal_in
from hyperpage_client.following.change_events import ChangeEvent, EventPage, decode_event_page, parse_event_id
from hyperpage_client.following.job_end import at_its_end
from hyperpage_client.following.remote_log import read_events
from hyperpage_client.following.subscription import Subscription
from hyperpage_client.queries.table import ANSWER_SECONDS
from hyperpage_client.tables.app_state import AppState
from hyperpage_client.tables.events import Events
from hyperpage_client.tables.jobs import Jobs
from hyperpage_client.tables.queues import Queues
from hyperpage_client.tables.rate_limits import RateLimits
from hyperpage_client.tables.schedules import Schedules
from hyperpage_client.tables.tool_configs import ToolConfigs

DURABLE_ANSWER_SECONDS = 30.0
# The states in which a job has ended, unless a user retries it.
JOB_ENDS = frozenset({"completed", "failed", "cancelled", "timeout"})

_decode_answer = msgspec.json.Decoder(CommandAnswer).decode
_decode_json = msgspec.json.Decoder().decode


class Client:
    """A client of the service: commands, queries and events; used in one event loop, by any number of tasks.

    Every method may raise `Unreachable` (no answer within `timeout_seconds`), `ClosedError`, and `Refusal`,
    whose subclass says why the service refused. `connection` and `names` are for programs on top of the
    client, such as a worker.

    It never reads anything older than `seen`, the newest place in the log of its answers and events. With
    `reads_own_writes=False`, an answer may be older than that. With `reads_from_leader`, the leader alone
    answers its queries (not its subscriptions): they miss nothing that any client was answered before.
    """

    def __init__(
        self,
        connection: ClientConnection,
        names: BusNames,
        *,
        actor: str | None = None,
        reads_own_writes: bool = True,
        reads_from_leader: bool = False,
    ) -> None:
        self.connection = connection
        self.names = names
        self.seen = Seen()
        self._actor = actor
        self._reads_own_writes = reads_own_writes
        self._reads = {READ: LEADER} if reads_from_leader else {}
        self._durable = DurableSender(connection, names)
        self.app_state = AppState(self)
        self.events = Events(self)
        self.jobs = Jobs(self)
        self.queues = Queues(self)
        self.rate_limits = RateLimits(self)
        self.schedules = Schedules(self)
        self.tool_configs = ToolConfigs(self)

    async def send(
        self,
        command: str | msgspec.Struct,
        body: Any = None,
        *,
        timeout_seconds: float = ANSWER_SECONDS,
        **about: Unpack[About],
    ) -> CommandAnswer:
        """The answer to a command; what the answer says is on disk.

        `command` is one of `hyperpage_client.commands`, or a name such as `jobs.enqueue` with its `body`: a
        mapping or a struct. If no answer comes, or the service is busy or away, the command is sent again.

        Raises:
            Refusal: nothing was stored for it.
            Unreachable: it says whether the command may have been carried out, and its `command_id`, under
                which it is safe to send it again.
        """
        one = Outgoing.of(command, body, self._about(about))
        try:
            _, answer = await self.connection.answer(
                self.names.command(one.name), one.body, one.headers, within_seconds=timeout_seconds
            )
        except Unreachable as error:
            error.command_id = one.command_id
            raise
        return self._noted(_decode_answer(answer))

    async def send_batch(
        self,
        commands: Iterable[msgspec.Struct | BatchCommand],
        *,
        atomic: bool = False,
        timeout_seconds: float = ANSWER_SECONDS,
        **about: Unpack[About],
    ) -> Sequence[CommandAnswer | Refusal]:
        """The outcome of each of up to 1,000 commands, in order; with `atomic`, all are accepted or none.

        Raises:
            Refusal: the whole batch is refused, as an atomic one is for any of its commands.
            Unreachable: the batch can only be sent again safely if each command was given an id.
        """
        content = encode({"atomic": atomic, "commands": [batch_item(one) for one in commands]})
        headers = headers_about(self._about(about))
        answer = await self.connection.ask(
            self.names.command(BATCH), content, headers, within_seconds=timeout_seconds
        )
        outcomes = _decode_json(answer)["outcomes"]
        return [refusal_in(one) or self._noted(msgspec.convert(one, CommandAnswer)) for one in outcomes]

    @overload
    async def send_durable(
        self,
        command: str | msgspec.Struct,
        body: Any = None,
        *,
        wait: Literal[True] = True,
        timeout_seconds: float = DURABLE_ANSWER_SECONDS,
        **about: Unpack[About],
    ) -> CommandAnswer: ...

    @overload
    async def send_durable(
        self,
        command: str | msgspec.Struct,
        body: Any = None,
        *,
        wait: Literal[False],
        timeout_seconds: float = DURABLE_ANSWER_SECONDS,
        **about: Unpack[About],
    ) -> str: ...

    async def send_durable(
        self,
        command: str | msgspec.Struct,
        body: Any = None,
        *,
        wait: bool = True,
        timeout_seconds: float = DURABLE_ANSWER_SECONDS,
        **about: Unpack[About],
    ) -> CommandAnswer | str:
        """As `send`, through a stream: once the broker has the command, it will be carried out.

        With `wait=False`, the command's id, as soon as the broker has stored it.

        Raises:
            Unavailable: the broker does not store it.
            Unreachable: it says whether the command is stored.
        """
        one = Outgoing.of(command, body, self._about(about))
        try:
            if not wait:
                await self._durable.store(one, timeout_seconds=timeout_seconds)
                return one.command_id
            answer = await self._durable.send(one, timeout_seconds=timeout_seconds)
        except Unreachable as error:
            error.command_id = one.command_id
            raise
        return self._outcome(answer)

    async def durable_answer(
        self, command_id: str, *, timeout_seconds: float = DURABLE_ANSWER_SECONDS
    ) -> CommandAnswer:
        """The answer to a durable command that any client has stored before; it is kept for a day.

        Raises:
            Refusal: the command was refused.
            Unreachable: there was no answer in that time.
        """
        try:
            answer = await self._durable.kept_answer(command_id, timeout_seconds=timeout_seconds)
        except Unreachable as error:
            error.command_id = command_id
            raise
        return self._outcome(answer)

    @asynccontextmanager
    async def batch(self, *, atomic: bool = False) -> AsyncIterator[Batch]:
        """Collects commands, and sends them in order at the end of the block, in as few messages as it takes.

        A message has up to 1,000 commands and 960 KiB. With `atomic`, all are accepted or none.
        A block that raises sends nothing.

        Raises:
            Refusal: an atomic batch was refused.
            ExceptionGroup: some commands were refused; `Pending.outcome` says which. The others are done.
            Unreachable: what was carried out is not known; under the same ids, all can be sent again.
        """
        batch = Batch(atomic=atomic)
        yield batch
        await batch.send(partial(self.send_batch, atomic=atomic))

    async def wait_for(self, job_id: str, *, timeout_seconds: float | None = None) -> JobRow:
        """The row of a job once it has ended: completed, failed, cancelled or timed out.

        It follows the job's events, and reads the row every 5 seconds as well, since an event may be missed.

        Raises:
            NotFound: there is no such job.
            TimeoutError: it has not ended in that time.
        """
        state = ""

        async def look(within_seconds: float) -> JobRow | None:
            nonlocal state
            try:
                row = await self.jobs.get(job_id, timeout_seconds=within_seconds)
                state = f": it is {row.state}, in the queue {row.queue}"
            except (Unreachable, Busy, Unavailable, Behind):
                # The service is away or busy for a while: the next look asks again.
                return None
            return row if row.state in JOB_ENDS else None

        subject = self.names.changes_of(f"jobs/{job_id}")
        try:
            return await at_its_end(
                self.connection, subject, self.seen, look, timeout_seconds=timeout_seconds
            )
        except TimeoutError as error:
            raise TimeoutError(f"job {job_id} has not ended within {timeout_seconds:g} s{state}") from error

    async def query(self, name: str, body: Any = None, *, timeout_seconds: float = ANSWER_SECONDS) -> Any:
        """The decoded answer to a query such as `jobs.get`, asked with a mapping or a struct."""
        return _decode_json(await self.ask(name, body, timeout_seconds))

    async def get(self, table: str, /, **key: Any) -> dict[str, Any]:
        """A row, by the name and the value of its key: `get("jobs", id="9f1c")`.

        Raises:
            NotFound: there is none.
        """
        row: dict[str, Any] = await self.query(f"{table}.get", key)
        return row

    async def list(self, table: str, /, **filters: Any) -> AsyncIterator[dict[str, Any]]:
        """Every row that the filters leave, in the order of the keys; asked for page by page."""
        async for row in self._items(f"{table}.list", filters):
            yield row

    async def count(self, table: str, /, **filters: Any) -> int:
        """How many rows the filters leave."""
        answer: dict[str, int] = await self.query(f"{table}.count", filters)
        return answer["count"]

    async def history(self, table: str, /, **key: Any) -> AsyncIterator[ChangeEvent]:
        """The events of one row's stream, in order; `after=3` leaves out versions 1 to 3."""
        async for event in self._items(f"{table}.history", key):
            yield msgspec.convert(event, ChangeEvent, strict=False)

    async def as_of(self, table: str, /, **key_and_moment: Any) -> dict[str, Any]:
        """A row as it was at a `position`, or at a `time` in milliseconds since the epoch.

        Raises:
            NotFound: there was none then.
        """
        row: dict[str, Any] = await self.query(f"{table}.as_of", key_and_moment)
        return row

    async def read_events(
        self, after: int = 0, *, limit: int = 1_000, table: str | None = None, stream: str | None = None
    ) -> EventPage:
        """Up to 1,000 events behind position `after`; those of a table or a stream, if one is named."""
        query = read_events(after, limit=limit, table=table, stream=stream)
        return decode_event_page(await self.ask("events.read", query))

    def subscribe(
        self,
        from_position: int = 1,
        *,
        after: str | None = None,
        table: str | None = None,
        stream: str | None = None,
    ) -> Subscription:
        """Every event from a position on, once and in order, for as long as it is iterated.

        `after` is the id of the event that was handled last. The subscription goes on behind it even if the
        store was restored to an earlier moment meanwhile; then the first event is `timeline.forked.v1`. Forks
        come even if only a `table` or a `stream` is followed.

        Raises:
            ValueError: an argument is not valid, or both a table and a stream are given.
        """
        timeline = None
        position = from_position - 1
        if after is not None:
            timeline, position = parse_event_id(after)
        if position < 0:
            raise ValueError(f"positions begin with 1, not with {from_position}")
        return Subscription(
            self.connection,
            self.names,
            position=position,
            timeline=timeline,
            table=table,
            stream=stream,
            seen=self.seen,
        )

    async def _items(self, name: str, asked: dict[str, Any]) -> AsyncIterator[Any]:
        while True:
            page = await self.query(name, asked)
            for item in page["items"]:
                yield item
            if page["next"] is None:
                return
            asked["after"] = page["next"]

    async def ask(self, name: str, body: Any = None, timeout_seconds: float = ANSWER_SECONDS, /) -> bytes:
        """As `query`, with the answer as it came, in JSON."""
        content = b"{}" if body is None else encode(body)
        subject = self.names.query(name)
        least = self.seen.headers if self._reads_own_writes else None
        try:
            headers, answer = await self.connection.answer(
                subject, content, {**self._reads, **(least or {})}, within_seconds=timeout_seconds
            )
        except Behind as behind:
            if least is None or not behind.details.get("leads"):
                raise
            # The store that answers leads, so no store has the place that was seen: it is in another log.
            self.seen.forget()
            headers, answer = await self.connection.answer(
                subject, content, self._reads, within_seconds=timeout_seconds
            )
        self.seen.note_headers(headers)
        return answer

    def _outcome(self, result: bytes) -> CommandAnswer:
        outcome = _decode_json(result)
        if (refusal := refusal_in(outcome)) is not None:
            raise refusal
        return self._noted(msgspec.convert(outcome, CommandAnswer))

    def _noted(self, answer: CommandAnswer) -> CommandAnswer:
        self.seen.note_answer(answer)
        return answer

    def _about(self, about: About) -> About:
        return about if self._actor is None else {"actor": self._actor, **about}
