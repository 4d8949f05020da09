"""The events of one history that a lake has before an export adds to them: `WrittenLog`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from bus.log import chain
from ops.analytics.lake.columns import literal
from ops.analytics.lake.layout import EVENTS
from ops.analytics.lake.manifest import Manifest, Stretch
from ops.analytics.lake.session import Connection
from ops.archive.timelines import END, Timelines, history_of

_FETCHED_ROWS = 10_000


class WrittenLog:
    """The part of a history that the lake has."""

    def __init__(self, lake: Path, engine: Connection, manifest: Manifest, timelines: Timelines) -> None:
        self._lake = lake
        self._engine = engine
        self._stretches = [
            (one, min(last, one.last))
            for timeline, first, last in history_of(timelines)
            for one in manifest.stretches
            if one.timeline == timeline and first <= one.last and one.first <= last
        ]

    def hash_at(self, position: int) -> bytes | None:
        """The hash of an event; at 0, the hash before the first one. `None` if the lake does not have it."""
        if position == 0:
            return chain.GENESIS_HASH
        for stretch, last in self._stretches:
            if position == stretch.last:
                return bytes.fromhex(stretch.last_hash)
            if stretch.first <= position <= last:
                found = self._engine.execute(
                    f"SELECT hash FROM read_parquet([{self._paths(stretch)}], hive_partitioning = false)"
                    f" WHERE position = {position}"
                ).fetchall()
                return bytes(found[0][0]) if found else None
        return None

    def events_of(self, streams: Sequence[str]) -> Iterator[chain.Row]:
        """The events of some streams, in order of their streams and positions."""
        import pyarrow

        if not streams or not self._stretches:
            return
        # One scan reads all whole files: each further scan of a UNION takes memory of its own.
        whole = [stretch for stretch, last in self._stretches if stretch.last == last]
        cut = [(stretch, last) for stretch, last in self._stretches if stretch.last > last]
        selects = [
            f"SELECT {', '.join(chain.Row.__struct_fields__)} FROM read_parquet([{self._paths(*some)}],"
            f" hive_partitioning = false) WHERE position <= {last} AND stream IN (SELECT stream FROM wanted)"
            for some, last in [(whole, END), *(([stretch], last) for stretch, last in cut)]
            if some
        ]
        # A cursor of its own: the caller may use the connection for other queries between two events.
        with self._engine.cursor() as cursor:
            cursor.register("wanted", pyarrow.table({"stream": pyarrow.array(streams, pyarrow.string())}))
            found = cursor.execute(f"{' UNION ALL '.join(selects)} ORDER BY stream, position")
            while rows := found.fetchmany(_FETCHED_ROWS):
                yield from (chain.Row(*row) for row in rows)

    def _paths(self, *stretches: Stretch) -> str:
        return ", ".join(literal(self._lake / file.path) for one in stretches for file in one.files[EVENTS])
