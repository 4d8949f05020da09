"""All mirrors: the rows of some tables in KV buckets, for those who watch rather than ask.

Each follows its table by itself, so that a bucket that is broken holds up nothing else.
"""

import asyncio
from collections.abc import Iterable

from bus.log import chain
from bus.publishing.mirror import AllRows, Mirror, MirrorState, RowJson
from bus.transport.stream_limits import NO_LIMITS, Limits
from domain.messages import split_stream
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.connection import LeanClient


class Mirrors:
    """All mirrors of one store. Everything is called on the event loop's thread.

    `connection` is the relay user's, and comes back for ever. Each bucket has the `limits`.
    `row_json(table, key)` reads a row, and `all_rows(table)` all of them, each as `get` answers it; both are
    called in other threads.
    """

    def __init__(
        self,
        connection: LeanClient,
        names: BusNames,
        row_json: RowJson,
        all_rows: AllRows,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self._mirrors = {
            table: Mirror(connection, names, table, row_json, all_rows, limits) for table in names.mirrors
        }

    @property
    def state(self) -> tuple[MirrorState, ...]:
        """How each mirror is, now."""
        return tuple(mirror.state for mirror in self._mirrors.values())

    async def prepare(self) -> None:
        """Tries once to make the buckets that are missing; where one cannot be, `state` says why."""
        await asyncio.gather(*(mirror.prepare() for mirror in self._mirrors.values()))

    def notify(self, rows: Iterable[chain.Row]) -> None:
        """Says that these rows of the log were committed."""
        for row in rows:
            table, key = split_stream(row.stream)
            if table in self._mirrors:
                self._mirrors[table].mark(key)

    async def run(self) -> None:
        """Compares every bucket with its table, and keeps it up to date until `stop`."""
        try:
            # A TaskGroup hands a cancellation on only once, and it may be lost (see `cancel` in
            # `hyperpage_client.tasks`).
            await asyncio.gather(*(mirror.run() for mirror in self._mirrors.values()))
        finally:
            self.stop()

    def stop(self) -> None:
        """Ends `run` soon."""
        for mirror in self._mirrors.values():
            mirror.stop()

    async def drain(self, timeout_ms: int) -> bool:
        """Whether every bucket was up to date within that time, or is by the end of it."""
        return all(await asyncio.gather(*(one.settled(timeout_ms) for one in self._mirrors.values())))
