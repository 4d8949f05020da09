"""One mirror: a KV bucket with the rows of one table.

    compare bucket and table ──▶ write what differs ──▶ write what commits change
     ▲                                                      │ anything odd
     └──────────────────────────────────────────────────────┘

A key's value is the row as `get` answers it, with its version and position; a deleted row becomes a delete
marker. A write always reads the row anew, so many changes of one key may become one write, and the last write
has the newest row. The table is the truth: after any trouble with the bucket, the two are compared again.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b

import apsw
import msgspec

from bus.publishing.publisher import DUPLICATE_WINDOW_NS, Publisher
from bus.transport.ensured_streams import found_or_made
from bus.transport.jetstream import JetStreamApi, JetStreamError, StreamFullError, WrongSequenceError
from bus.transport.stream_limits import Limits
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.transport.jetstream_answers import StreamCounts, StreamReport
from hyperpage_client.waiting import Trouble, is_set_within

RowJson = Callable[[str, str], bytes | None]
AllRows = Callable[[str], Iterable[tuple[str, bytes]]]

# The number of rows that are read at once. With the largest rows, of 256 KiB, these are 16 MiB.
CHUNK_KEYS = 64
# If more keys wait, they are not written one by one: table and bucket are compared instead.
MAXIMUM_WAITING_KEYS = 10_000
# How often the bucket is checked when there is nothing to write; nothing tells us when it is deleted.
LOOK_INTERVAL_MS = 2_000
FIRST_RETRY_MS = 100
LONGEST_RETRY_MS = 2_000
# A full bucket is compared with its table before each attempt, which takes long since both are large.
FULL_RETRY_MS = 30_000

_DELETED = {"KV-Operation": "DEL"}

logger = logging.getLogger(__name__)


class MirrorState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one mirror: the number of keys that wait to be written, and the problem, if any."""

    table: str
    bucket: str
    waiting: int
    problem: str | None

    @property
    def healthy(self) -> bool:
        return self.problem is None


class Mirror:
    """One bucket and its table."""

    def __init__(
        self,
        connection: LeanClient,
        names: BusNames,
        table: str,
        row_json: RowJson,
        all_rows: AllRows,
        limits: Limits,
    ) -> None:
        self._limits = limits
        self._names = names
        self._table = table
        self._bucket = names.mirrors[table]
        self._stream = names.stream_of_bucket(self._bucket)
        self._row_json = row_json
        self._all_rows = all_rows
        self._api = JetStreamApi(connection)
        self._publisher = Publisher(connection, self._stream)
        # An ordered set, so that the key that waits longest is written first.
        self._waiting: dict[str, None] = {}
        self._compared = False
        self._bucket_before = StreamReport({}, "", StreamCounts())
        self._trouble = Trouble(
            f"keeping the bucket {self._bucket} up to date",
            logger,
            first_pause_ms=FIRST_RETRY_MS,
            longest_pause_ms=LONGEST_RETRY_MS,
        )
        self._stopped = asyncio.Event()
        self._settled = asyncio.Event()

    @property
    def state(self) -> MirrorState:
        return MirrorState(
            table=self._table,
            bucket=self._bucket,
            waiting=len(self._waiting),
            problem=self._trouble.problem,
        )

    async def prepare(self) -> None:
        try:
            await self._found_or_made()
        except JetStreamError as error:
            self._trouble.failed(error)

    def mark(self, key: str) -> None:
        """Notes that a row changed."""
        self._settled.clear()
        self._waiting[key] = None
        if len(self._waiting) > MAXIMUM_WAITING_KEYS:
            self.distrust()
        self._publisher.nudge()

    def distrust(self) -> None:
        """Notes that any row may have changed."""
        self._settled.clear()
        self._waiting.clear()
        self._compared = False
        self._publisher.nudge()

    def stop(self) -> None:
        self._stopped.set()
        self._publisher.nudge()

    async def settled(self, timeout_ms: int) -> bool:
        return await is_set_within(self._settled, timeout_ms)

    async def run(self) -> None:
        await self._publisher.open()
        try:
            while not self._stopped.is_set():
                try:
                    await self._compare()
                    await self._follow()
                except (JetStreamError, apsw.Error, TimeoutError) as error:
                    self._settled.clear()
                    # The next comparison corrects a wrong sequence, so the first one is not reported.
                    if not (isinstance(error, WrongSequenceError) and self._trouble.is_first):
                        self._trouble.failed(error)
                    is_full = isinstance(error, StreamFullError)
                    pause_ms = FULL_RETRY_MS if is_full else self._trouble.next_pause_ms()
                    await is_set_within(self._stopped, pause_ms)
        finally:
            await self._publisher.close()

    async def _compare(self) -> None:
        """Brings the whole bucket up to date."""
        self._bucket_before = await self._found_or_made()
        # If another program writes to the bucket from here on, the next write is refused.
        self._publisher.begin(
            self._bucket_before.state.last_seq, is_replicated=self._bucket_before.is_replicated
        )
        found = await self._read_bucket()
        # Keys that were marked before this are covered by the comparison. Keys marked from here on may not
        # be, and are read again.
        self._compared = True
        self._waiting.clear()
        differing = await asyncio.to_thread(self._differing, found)
        # Deletions first: they make room in a full bucket.
        await self._publisher.send([(subject, b"", _DELETED) for subject in found])
        for start in range(0, len(differing), CHUNK_KEYS):
            await self._write(differing[start : start + CHUNK_KEYS])
        await self._publisher.settle()
        after = await self._found_or_made()
        if after.created != self._bucket_before.created:
            raise WrongSequenceError(f"the bucket {self._bucket} is another one now")
        self._bucket_before = after

    async def _follow(self) -> None:
        """Writes the rows that are marked, until there is a reason to compare everything."""
        while self._compared and not self._stopped.is_set():
            if self._waiting:
                keys = list(self._waiting)[:CHUNK_KEYS]
                for key in keys:
                    del self._waiting[key]
                await self._write(keys)
            elif self._publisher.in_flight:
                await self._publisher.pause(LOOK_INTERVAL_MS)
            else:
                self._trouble.recovered()
                self._settled.set()
                if await self._publisher.pause(LOOK_INTERVAL_MS):
                    continue
                if not await self._is_ours_alone():
                    return

    async def _write(self, keys: Sequence[str]) -> None:
        rows = await asyncio.to_thread(lambda: [self._row_json(self._table, key) for key in keys])
        await self._publisher.send(
            [
                (self._names.mirrored(self._bucket, key), row or b"", _DELETED if row is None else {})
                for key, row in zip(keys, rows, strict=True)
            ]
        )

    async def _read_bucket(self) -> dict[str, bytes]:
        """The digest of the value that the bucket holds for each subject."""
        found: dict[str, bytes] = {}
        sequence = 1
        while messages := await self._api.messages_from(self._stream, sequence):
            for message in messages:
                # A delete marker. An older bucket may also have markers of other programs, and older values.
                if "KV-Operation" in message.headers or "Nats-Marker-Reason" in message.headers:
                    found.pop(message.subject, None)
                else:
                    found[message.subject] = _digest(message.payload)
            sequence = messages[-1].sequence + 1
        return found

    def _differing(self, found: dict[str, bytes]) -> list[str]:
        """The keys whose row differs from the bucket; `found` keeps only the subjects that have no row."""
        return [
            key
            for key, row in self._all_rows(self._table)
            if found.pop(self._names.mirrored(self._bucket, key), b"") != _digest(row)
        ]

    async def _found_or_made(self) -> StreamReport:
        is_first = not self._bucket_before.created
        return await found_or_made(
            self._api,
            _bucket_config(self._stream, self._bucket),
            # Set here as well, since a bucket that another program made without it could not be read.
            {**self._limits.config, "allow_direct": True, "duplicate_window": DUPLICATE_WINDOW_NS},
            is_adjusted=is_first,
        )

    async def _is_ours_alone(self) -> bool:
        """Whether only this mirror has changed the bucket since the last check."""
        before, self._bucket_before = self._bucket_before, await self._found_or_made()
        counts = self._bucket_before.state
        written = self._publisher.stored - before.state.last_seq
        return (
            self._bucket_before.created == before.created
            and counts.last_seq == self._publisher.stored
            # Each write replaces a message or adds one, so a lower count shows a purge. As many writes as
            # there were messages would hide a purge, so table and bucket are compared then.
            and (written == 0 or written < before.state.messages)
            and counts.messages >= before.state.messages
        )


def _digest(row: bytes) -> bytes:
    return blake2b(row, digest_size=16).digest()


def _bucket_config(stream: str, bucket: str) -> dict[str, object]:
    """The configuration of a bucket as clients expect it (ADR-8), with only the last value of each key."""
    return {
        "name": stream,
        "subjects": [f"$KV.{bucket}.>"],
        "storage": "file",
        "max_msgs_per_subject": 1,
        "discard": "new",
        "allow_rollup_hdrs": True,
        "deny_delete": True,
        "allow_direct": True,
    }
