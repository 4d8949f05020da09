"""Adding the events that the archive has beyond the backups to a lake: `add_archive`.

Each timeline is read on from where the lake ends, segment by segment, up to the first gap. The states that
these events build on come from the lake's own events.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from bus.log import chain
from bus.log.states import to_recorded
from domain.catalogue import BY_TABLE, UnknownEventTypeError
from domain.decider import ABSENT, Aggregate, replay
from domain.messages import split_stream, stream_name
from ops.analytics.export.event_files import write_rows
from ops.analytics.export.row_versions import Fold, Range, left_out
from ops.analytics.export.written_log import WrittenLog
from ops.analytics.lake.files import File
from ops.analytics.lake.layout import EVENTS
from ops.analytics.lake.manifest import Manifest, Stretch
from ops.analytics.lake.session import Connection, Engine
from ops.archive.reading import read_header, read_segment
from ops.archive.segment import Segment, list_segments, runs
from ops.archive.timelines import Timelines, history_of
from ops.targets.errors import BackupError
from ops.targets.sealing import Identities
from ops.targets.signing import ANYBODYS, Signing
from ops.targets.target import Place
from projections.tables import TABLES

# The most events in one file. They are in memory until it is written, with the states that they change.
EVENTS_IN_FILE = 50_000


def add_archive(
    lake: Path,
    engine: Engine,
    manifest: Manifest,
    archive: Place,
    identities: Identities = (),
    signing: Signing = ANYBODYS,
) -> Iterator[Manifest]:
    """Manifests with more and more of the archive; every file that each names is whole and on disk.

    `engine` opens DuckDB, or returns the open connection.

    Raises:
        BackupError: a segment is damaged, another store's, of another history, encrypted and there is no key
            for it, or does not continue the lake's log. All that was added before is whole.
        OSError: the archive cannot be read, or the bucket cannot be reached.
    """
    for timeline, found in groupby(list_segments(archive), key=lambda one: one.timeline):
        new = [one for one in found if one.last > manifest.end_of(timeline)]
        if not new:
            continue
        header = read_header(new[0], signing)
        if header.store_id != manifest.store_id:
            raise BackupError(
                "foreign", f"{new[0].name} is of store {header.store_id}, not of {manifest.store_id}"
            )
        for one, first, last in history_of(header.timelines, max(one.last for one in new)):
            start = max(first, manifest.end_of(one) + 1)
            segments = runs(list_segments(archive, one), start - 1)
            for rows in _portions(segments, header.timelines, start, last, identities, signing):
                manifest = _add(lake, engine(), manifest, header.timelines, one, rows)
                yield manifest
            if manifest.end_of(one) < last:
                raise BackupError(
                    "unreachable_moment",
                    f"the archive {archive} lacks event {manifest.end_of(one) + 1} of timeline {one}",
                )


def _portions(
    segments: Iterator[Segment],
    timelines: Timelines,
    start: int,
    last: int,
    identities: Identities,
    signing: Signing,
) -> Iterator[list[chain.Row]]:
    """The events from `start` to `last`, up to the first gap, as many at a time as a file takes."""
    portion: list[chain.Row] = []
    following = start
    while following <= last and (segment := next(segments, None)) is not None:
        try:
            content = read_segment(segment, identities, signing)
        except BackupError:
            if portion:
                yield portion
            raise
        if content.header.timelines != timelines[: len(content.header.timelines)]:
            raise BackupError("foreign", f"{segment.name} is of another history than what follows it")
        for row in content.rows:
            if row.position == following <= last:
                portion.append(row)
                following += 1
        if len(portion) >= EVENTS_IN_FILE:
            yield portion
            portion = []
    if portion:
        yield portion


def _add(
    lake: Path,
    engine: Connection,
    manifest: Manifest,
    timelines: Timelines,
    timeline: int,
    rows: Sequence[chain.Row],
) -> Manifest:
    first, last = rows[0], rows[-1]
    known = WrittenLog(lake, engine, manifest, timelines)
    before = known.hash_at(first.position - 1)
    if before is None or chain.chain_hash(before, *msgspec.structs.astuple(first)[:-1]) != first.hash:
        raise BackupError("foreign", f"the archive has another history from position {first.position} on")
    fold = Fold(_States(known, rows).load)
    of = Range(timeline=timeline, first=first.position, last=last.position)
    try:
        versions = fold.write(
            lake,
            of,
            ((one.position, one.stream, one.version, one.type, one.recorded_at, one.data) for one in rows),
        )
    except (UnknownEventTypeError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BackupError("damaged", f"the archive cannot be folded: {error}") from error
    files: dict[str, tuple[File, ...]] = {name: (file,) for name, file in versions.items()}
    files[EVENTS] = (write_rows(lake, engine, rows, timeline),)
    stretch = Stretch(
        timeline=timeline,
        first=first.position,
        last=last.position,
        last_hash=last.hash.hex(),
        files=files,
        left_out=left_out({one.stream for one in rows}),
    )
    return manifest.extended(timelines, [stretch])


class _States:
    """The aggregates that some events change, as the lake's own events before them left these."""

    def __init__(self, known: WrittenLog, rows: Sequence[chain.Row]) -> None:
        self._known = known
        self._rows = rows
        self._first = rows[0].position
        tables = tuple(f"{name}/" for name in TABLES)
        first_seen: dict[str, int] = {}
        for row in rows:
            if row.stream.startswith(tables):
                first_seen.setdefault(row.stream, row.version)
        begun = [stream for stream, version in first_seen.items() if version > 1]
        self._before = dict(self._fold(known.events_of(begun)))

    def load(self, table: str, key: str, position: int) -> Aggregate:
        """An aggregate as it was at a position."""
        stream = stream_name(table, key)
        own = [row for row in self._rows if row.stream == stream and row.position <= position]
        before = self._before.get(stream, ABSENT)
        return dict(self._fold(own, before)).get(stream, before)

    def _fold(self, rows: Iterable[chain.Row], before: Aggregate = ABSENT) -> Iterator[tuple[str, Aggregate]]:
        for stream, of_stream in groupby(rows, key=lambda row: row.stream):
            recorded = [to_recorded(row) for row in of_stream]
            table, _ = split_stream(stream)
            state = replay(BY_TABLE[table], recorded, before.state)
            yield stream, Aggregate(recorded[-1].version, recorded[-1].position, state)
