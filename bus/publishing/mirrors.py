"""All mirrors: the rows of some tables in KV buckets, for clients that watch rows instead of asking for them.

Each mirror follows its table by itself, so that a broken bucket holds up no other.
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
    """All mirrors of one store. Every method is called on the event loop's thread.

    `connection` is that of the relay's user, and reconnects for ever. Each bucket has the `limits`.
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
        """The current state of each mirror."""
        return tuple(mirror.state for mirror in self._mirrors.values())

    async def prepare(self) -> None:
        """Tries once to make the missing buckets; if one cannot be made, `state` says why."""
        await asyncio.gather(*(mirror.prepare() for mirror in self._mirrors.values()))

    def notify(self, rows: Iterable[chain.Row]) -> None:
        """Takes rows of the log that were committed."""
        for row in rows:
            table, key = split_stream(row.stream)
            if table in self._mirrors:
                self._mirrors[table].mark(key)

    async def run(self) -> None:
        """Compares every bucket with its table, and keeps it up to date until `stop`."""
        try:
            # Not a TaskGroup: that passes a cancellation on only once, and it may be lost (see `cancel` in
            # `hyperpage_client.tasks`).
            await asyncio.gather(*(mirror.run() for mirror in self._mirrors.values()))
        finally:
            self.stop()

    def stop(self) -> None:
        """Ends `run` soon."""
        for mirror in self._mirrors.values():
            mirror.stop()

    async def drain(self, timeout_ms: int) -> bool:
        """Waits until every bucket is up to date; false if it is too late."""
        return all(await asyncio.gather(*(one.settled(timeout_ms) for one in self._mirrors.values())))
