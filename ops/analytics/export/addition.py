"""Adding one backup to a lake: `Addition`.

backup ─┬─ events ──▶ Parquet, those that the lake does not have yet  (ADBC, DuckDB)
        ├─ folded ──▶ row versions                                    (Python, processes of its own)
        ├─ tables ──▶ Parquet, for each snapshot                      (ADBC, DuckDB)
        └─ SHA-256 ─▶ if it is right, the manifest names the files, which makes them part of the lake
"""

from collections.abc import Iterator, Set
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import apsw
import msgspec

from domain.installed.checking import TABLE_NAME
from migrations.aggregate_tables import MAXIMUM_TABLES, RECORDS
from migrations.sqlite_words import words_of
from ops.analytics.export.event_files import write_events
from ops.analytics.export.folding import Folding, Task, fold_sealed
from ops.analytics.export.row_versions import Range
from ops.analytics.export.sealed_source import SealedSource
from ops.analytics.export.table_files import MOST_NEW_EVENTS, Earlier, changed_keys, write_table
from ops.analytics.export.written_log import WrittenLog
from ops.analytics.lake.columns import literal
from ops.analytics.lake.errors import AnalyticsError
from ops.analytics.lake.files import File
from ops.analytics.lake.layout import EVENTS, stamp_of
from ops.analytics.lake.manifest import Manifest, Snapshot, Stretch
from ops.analytics.lake.session import Connection, Engine
from ops.archive.timelines import history_of
from ops.backup.metadata import Backup
from ops.backup.opening import checksum_differs, require_size
from ops.backup.sound import file_checksum
from ops.store.troubles import require_damage
from ops.targets.errors import BackupError
from projections.rebuild import streams_of
from projections.tables import TABLE_COLUMNS, TABLES

EVENTS_IN_FILE = 250_000


class Addition:
    """One backup that is being added to a lake; `plain` is the same backup as a plain local file."""

    def __init__(
        self,
        lake: Path,
        engine: Engine,
        manifest: Manifest,
        backup: Backup,
        plain: Backup,
    ) -> None:
        self._lake = lake
        self._engine = engine
        self._manifest = manifest
        self._backup = backup
        self._plain = plain
        self._metadata = backup.metadata

    def add(self) -> Manifest:
        """The manifest with the backup; every file that it names is whole and on disk.

        Raises:
            BackupError: the backup is damaged, or has another history.
            AnalyticsError: the lake cannot be written.
        """
        if self._metadata.store_id != self._manifest.store_id:
            raise BackupError(
                "foreign",
                f"{self._backup.name} is of store {self._metadata.store_id},"
                f" not of {self._manifest.store_id}",
            )
        require_size(self._plain)
        with ThreadPoolExecutor(2) as beside:
            # Started first, even before imports: where little is new, the checksum takes longest.
            checksum = beside.submit(file_checksum, self._plain.path)
            return self._proven(beside, checksum)

    def _proven(self, beside: ThreadPoolExecutor, checksum: Future[str]) -> Manifest:
        import adbc_driver_manager
        import duckdb
        import pyarrow

        try:
            return self._add(beside, checksum)
        except (adbc_driver_manager.Error, apsw.Error, duckdb.Error, pyarrow.ArrowException) as error:
            # Damage may cause any of these errors. If the checksum differs, the file is damaged.
            if checksum.result() != self._plain.metadata.checksum:
                raise checksum_differs(self._plain.path) from error
            if isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException):
                raise AnalyticsError(
                    "not_written",
                    f"the lake cannot be written: {words_of(error)}",
                    "make room for it, on its disk and in memory, and export again: what was"
                    " added before is whole",
                ) from error
            require_damage(error, self._backup.name)
            raise BackupError("damaged", f"{self._backup.name} cannot be read: {words_of(error)}") from error

    def _add(self, beside: ThreadPoolExecutor, checksum: Future[str]) -> Manifest:
        ranges = list(self._new_ranges())
        task = Task(lake=str(self._lake), backup=str(self._plain.path), ranges=ranges)
        with Folding(task) as folding, SealedSource(self._plain.path) as source:
            self._require_same_history(source, ranges)
            recorded = _recorded(source)
            left_out = [_left_out(source, recorded, one) for one in ranges]
            writing = beside.submit(self._write_tables)
            events = [
                write_events(self._lake, self._engine(), source, one.timeline, one.first, one.last)
                for one in ranges
            ]
            versions = folding.files()
            tables, repairs = writing.result()
            hashes = [_hash_at(source, one.last) for one in ranges]
            if checksum.result() != self._plain.metadata.checksum:
                raise checksum_differs(self._backup.place)
        stretches = [
            Stretch(
                timeline=one.timeline,
                first=one.first,
                last=one.last,
                last_hash=last_hash,
                files={EVENTS: (file,)} | _together([of_share[place] for of_share in versions]),
                left_out=left_out[place],
            )
            for place, (one, last_hash, file) in enumerate(zip(ranges, hashes, events, strict=True))
        ]
        snapshots = sorted(
            (*self._manifest.snapshots, self._snapshot(tables, repairs)), key=lambda one: one.timestamp
        )
        return msgspec.structs.replace(
            self._made_up_for(recorded).extended(self._metadata.timelines, stretches),
            snapshots=tuple(snapshots),
        )

    def _made_up_for(self, recorded: Set[str]) -> Manifest:
        """The manifest with row versions that were left out before, of packages that are installed now."""
        ends = {one: last for one, _, last in history_of(self._metadata.timelines, self._metadata.position)}
        stretches = tuple(
            self._completed(one, recorded) if one.last <= ends.get(one.timeline, 0) else one
            for one in self._manifest.stretches
        )
        return msgspec.structs.replace(self._manifest, stretches=stretches)

    def _completed(self, stretch: Stretch, recorded: Set[str]) -> Stretch:
        of = Range(timeline=stretch.timeline, first=stretch.first, last=stretch.last)
        back = [table for table in stretch.left_out if table in TABLES]
        files = dict(stretch.files)
        for table in back:
            task = Task(lake=str(self._lake), backup=str(self._plain.path), ranges=[of], table=table)
            files |= _together(fold_sealed(task))
        # Tables of the store alone: a name from the archive's streams may be another application's.
        still = tuple(one for one in stretch.left_out if one in recorded and one not in back)
        return msgspec.structs.replace(stretch, files=files, left_out=still)

    def _require_same_history(self, source: SealedSource, ranges: list[Range]) -> None:
        """Returns if the backup's events continue those that the lake has of its history.

        A copy of a store that was used elsewhere has the same store id, but other events.
        """
        position = ranges[0].first - 1 if ranges else self._metadata.position
        known = WrittenLog(self._lake, self._engine(), self._manifest, self._metadata.timelines)
        if position and known.hash_at(position) not in (None, bytes.fromhex(_hash_at(source, position))):
            raise BackupError(
                "foreign",
                f"{self._backup.name} has another history than the lake: event {position} is another one",
            )

    def _new_ranges(self) -> Iterator[Range]:
        """The positions that the lake does not have yet, in order."""
        for timeline, first, last in history_of(self._metadata.timelines, self._metadata.position):
            start = max(first, self._manifest.end_of(timeline) + 1)
            for begin in range(start, last + 1, EVENTS_IN_FILE):
                yield Range(timeline=timeline, first=begin, last=min(last, begin + EVENTS_IN_FILE - 1))

    def _write_tables(self) -> tuple[dict[str, tuple[File, ...]], int]:
        # Runs in a thread of its own: most of it is work of SQLite, DuckDB and the disk.
        with SealedSource(self._plain.path) as source, self._engine().cursor() as engine:
            [(repairs,)] = source.rows("SELECT user_version FROM pragma_user_version")
            return dict(self._tables(source, engine, repairs)), repairs

    def _tables(
        self, source: SealedSource, engine: Connection, repairs: int
    ) -> Iterator[tuple[str, tuple[File, ...]]]:
        earlier = self._earlier(repairs)
        changed = {} if earlier is None else changed_keys(source, earlier.position)
        for table in TABLE_COLUMNS:
            before = None
            if earlier is not None and table in earlier.tables:
                before = Earlier(earlier.tables[table], earlier.position, changed.get(table, []))
            rows = self._metadata.rows.get(table, 0)
            files = write_table(self._lake, engine, source, table, self._stamp, rows=rows, earlier=before)
            if files is None:
                continue
            written = sum(file.rows for file in files)
            if written != rows:
                raise BackupError(
                    "content_differs",
                    f"{self._backup.name}: its metadata says {rows} rows of {table}, and it has {written}",
                )
            yield table, files

    def _earlier(self, repairs: int) -> Snapshot | None:
        """The newest snapshot from which this one differs by events alone, and not by too many.

        Another version of the service may make other rows of the same events. A repair makes rows anew, and
        so does a restore, which begins a timeline. So snapshots from before these are not used.
        """
        metadata = self._metadata
        candidates = [
            one
            for one in self._manifest.snapshots
            if (one.timeline, one.version, one.repairs) == (metadata.timeline, metadata.version, repairs)
            and one.is_part_of(metadata.timelines, metadata.position)
            and one.position >= metadata.position - MOST_NEW_EVENTS
        ]
        return max(candidates, key=lambda one: one.position, default=None)

    @property
    def _stamp(self) -> str:
        return stamp_of(self._backup.name, self._metadata.timestamp)

    def _snapshot(self, tables: dict[str, tuple[File, ...]], repairs: int) -> Snapshot:
        metadata = self._metadata
        return Snapshot(
            snapshot=self._stamp,
            name=self._backup.name,
            timestamp=metadata.timestamp,
            description=metadata.description,
            timeline=metadata.timeline,
            timelines=metadata.timelines,
            position=metadata.position,
            head_hash=metadata.head_hash,
            last_recorded_at=metadata.last_recorded_at,
            size=metadata.size,
            checksum=metadata.checksum,
            version=metadata.version,
            tables=tables,
            file_size=metadata.plain_size,
            repairs=repairs,
        )


def _recorded(source: SealedSource) -> set[str]:
    """The tables of other packages that the store has, even if the package is no longer installed."""
    # A backup of an earlier version has no records.
    has_records = bool(source.columns(RECORDS))
    rows = source.rows(f"SELECT name FROM {RECORDS} LIMIT {MAXIMUM_TABLES}") if has_records else []
    return {name for (name,) in rows if TABLE_NAME.fullmatch(name)}


def _left_out(source: SealedSource, recorded: Set[str], of: Range) -> tuple[str, ...]:
    """The tables of packages that are not installed here, as far as they have events in a range."""
    where = f"position BETWEEN {of.first} AND {of.last}"
    found = []
    for name in sorted(recorded - TABLES.keys()):
        first, behind = map(literal, streams_of(name))
        events = f"events WHERE stream >= {first} AND stream < {behind} AND {where}"
        if source.rows(f"SELECT 1 FROM {events} LIMIT 1"):
            found.append(name)
    return tuple(found)


def _together(shares: list[dict[str, File]]) -> dict[str, tuple[File, ...]]:
    names = sorted({name for share in shares for name in share})
    return {name: tuple(share[name] for share in shares if name in share) for name in names}


def _hash_at(source: SealedSource, position: int) -> str:
    return bytes(source.rows(f"SELECT hash FROM events WHERE position = {position}")[0][0]).hex()
