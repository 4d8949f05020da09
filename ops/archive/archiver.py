"""Writes the archive while the service runs: a commit is archived a second later. `Archiver`."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import apsw
import msgspec

from bus.log import chain
from bus.log.answers import Answer, each_answer, first_number, read_answers
from bus.log.cloud_events import Origin
from bus.writing.submission import Commit
from hyperpage_client.tasks import cancel
from hyperpage_client.waiting import UNTRIED, Trouble, is_set_within
from ops.archive.end import ArchiveEnd
from ops.archive.merge import Logged, merge
from ops.archive.reading import read_envelope, read_segment
from ops.archive.segment import (
    MAXIMUM_SEGMENT_BYTES,
    Header,
    Segment,
    list_segments,
    runs,
    segment_path,
)
from ops.archive.writing import answer_lines, event_lines, write_segment
from ops.targets.errors import BackupError
from ops.targets.sealing import ENCRYPTED_SUFFIX
from ops.targets.signing import ANYBODYS, Signing
from ops.targets.target import Place

# The pause between two rounds of writing. With the time of writing, less than 2 s of commits are lost with
# the store's disk.
INTERVAL_MS = 1_000
# Limits of one segment: the log of an old store is archived in several.
MAXIMUM_EVENTS = 10_000
MAXIMUM_BYTES = 8 * 1024 * 1024
# At most this many answers wait in memory; if there are more, all are read from the table.
MAXIMUM_WAITING_ANSWERS = 50_000
MERGE_AFTER_SEGMENTS = 64
FIRST_RETRY_MS = 1_000
LONGEST_RETRY_MS = 30_000
# How often the archive is checked for a missing end.
LOOK_SECONDS = 600.0

NOT_OUTSIDE = (
    "there is no archive outside the disk of the store, with which it would be lost:"
    " set `archive` to a folder on another disk, or to a bucket"
)

logger = logging.getLogger(__name__)


class ArchiveState(msgspec.Struct, frozen=True, kw_only=True):
    """How far the archive is. `outside`: it survives the loss of the store's disk; if not, `note` says so.

    `lag_seconds` is how long the oldest event that is not archived yet has waited.
    """

    folder: str
    position: int | None
    lag_events: int
    lag_seconds: float
    outside: bool
    note: str | None
    problem: str | None
    cut: str | None = None
    """The events found missing at the archive's end since the start, and written again from the log."""


class _Next(NamedTuple):
    """The segment to write next."""

    header: Header
    lines: list[bytes]
    answers: list[Answer]
    last_hash: str
    is_more: bool


class Archiver:
    """The archive of one store. All but `state` and `read_log` is called on the event loop's thread.

    Segments are encrypted to `recipients`, the public keys of the users who may read them, and signed.
    """

    def __init__(
        self,
        folder: Place,
        origin: Origin,
        read: Callable[[], AbstractContextManager[apsw.Connection]],
        *,
        store: Path,
        recipients: tuple[str, ...] = (),
        signing: Signing = ANYBODYS,
    ) -> None:
        self._folder = folder
        self._recipients = recipients
        self._signing = signing
        self._origin = origin
        self._read = read
        self._store = store
        self._end = ArchiveEnd(store, folder, origin.store_id)
        self._look_at = time.monotonic()
        self._cut: str | None = None
        self._head = 0
        self._position: int | None = None
        # The monotonic time since when a commit waits to be archived.
        self._waiting_since: float | None = None
        # The last position that `notify` was called with. Answers behind it may not be in `_answers` yet.
        self._told = 0
        self._answers: list[Answer] = []
        # Whether some answers must be read from the table: they are from before the start, or were too many.
        self._is_table_ahead = True
        # Guards what `notify` changes: it is called while a thread writes.
        self._telling = Lock()
        # All answers in the table with smaller numbers are archived.
        self._first_number = 0
        # A thread goes on when its task is cancelled, so the next one could write the same segment.
        self._writing = Lock()
        # The number of segments that were written since the last merge.
        self._written = 0
        self._merging: asyncio.Task[None] | None = None
        self._trouble = self._new_trouble(f"archiving to {folder}")
        self._merge_trouble = self._new_trouble(f"merging segments in {folder}")
        self._stopped = asyncio.Event()

    @property
    def state(self) -> ArchiveState:
        """How far the archive is now. Any thread may ask."""
        since, outside = self._waiting_since, self._is_outside()
        merging = self._merge_trouble.problem
        problem = None if merging in (None, UNTRIED) else f"its segments cannot be merged: {merging}"
        return ArchiveState(
            folder=str(self._folder),
            position=self._position,
            lag_events=max(0, self._head - (self._position or 0)),
            lag_seconds=0.0 if since is None else time.monotonic() - since,
            outside=outside,
            note=None if outside else NOT_OUTSIDE,
            problem=self._trouble.problem or problem,
            cut=self._cut,
        )

    def notify(self, commit: Commit) -> None:
        """Takes note of a commit, whose events and answers are to be archived."""
        with self._telling:
            if commit.rows:
                self._head = self._told = commit.rows[-1].position
                if self._waiting_since is None:
                    self._waiting_since = time.monotonic()
            self._answers.extend(commit.answers)
            if len(self._answers) > MAXIMUM_WAITING_ANSWERS:
                self._is_table_ahead = True
                self._answers.clear()

    async def run(self) -> None:
        """Writes every second until `stop`. A failure is shown in `state`, and the writing tried again."""
        self._say_who_signs()
        try:
            while not self._stopped.is_set():
                pause_ms = float(INTERVAL_MS)
                try:
                    await self._catch_up()
                    self._trouble.recovered()
                except (BackupError, OSError, apsw.Error, TimeoutError) as error:
                    self._trouble.failed(error)
                    pause_ms = self._trouble.next_pause_ms()
                self._merge_if_due()
                await is_set_within(self._stopped, pause_ms)
        finally:
            if self._merging is not None:
                await cancel(self._merging)

    def _say_who_signs(self) -> None:
        # Makes the key of a new store. The operator finds its public half in this log if all else is lost.
        try:
            if (signer := self._signing.signer()) is not None:
                logger.info("backups and archive are signed by %s", signer.public)
        except (BackupError, OSError) as error:
            self._trouble.failed(error)

    async def stop(self) -> None:
        """Writes the rest, in one attempt; `run` ends."""
        self._stopped.set()
        try:
            await self._catch_up()
        except (BackupError, OSError, apsw.Error, TimeoutError) as error:
            logger.warning("the archive is not complete; the rest follows after the next start: %s", error)

    async def _catch_up(self) -> None:
        if time.monotonic() >= self._look_at:
            await asyncio.to_thread(self._look_for_cut)
        while await asyncio.to_thread(self._write_next):
            pass

    def _look_for_cut(self) -> None:
        """Checks for a missing end. If the end was cut off, this is reported, and it is written again."""
        with self._writing:
            cut = self._end.cut(self._origin.timelines[-1][0])
            self._look_at = time.monotonic() + LOOK_SECONDS
            if cut is None:
                return
            self._cut = str(cut)
            logger.error("the end of the archive %s was cut off: %s", self._folder, cut)
            self._position, self._is_table_ahead, self._first_number = None, True, 0

    def _merge_if_due(self) -> None:
        is_merging = self._merging is not None and not self._merging.done()
        if self._written >= MERGE_AFTER_SEGMENTS and not is_merging:
            self._written = 0
            # In a task of its own: the writing must not wait for hundreds of requests to a bucket.
            self._merging = asyncio.create_task(self._merge(), name="merging of segments")

    async def _merge(self) -> None:
        while True:
            try:
                await asyncio.to_thread(
                    merge,
                    self._folder,
                    recipients=self._recipients,
                    signing=self._signing,
                    read_log=self.read_log,
                )
            except (BackupError, OSError, apsw.Error, TimeoutError) as error:
                self._merge_trouble.failed(error)
                await asyncio.sleep(self._merge_trouble.next_pause_ms() / 1000)
            else:
                self._merge_trouble.recovered()
                return

    def _new_trouble(self, what: str) -> Trouble:
        return Trouble(what, logger, first_pause_ms=FIRST_RETRY_MS, longest_pause_ms=LONGEST_RETRY_MS)

    def _write_next(self) -> bool:
        """Writes the next segment, if there is one; whether there is more to write."""
        with self._writing:
            read_at = time.monotonic()
            try:
                with self._read() as connection:
                    following = self._find_next(connection)
                # The connection is returned before the writing, since a bucket may be slow.
                if following is None:
                    # What waited was written with an earlier segment, or has come since the reading.
                    with self._telling:
                        if self._head == self._position:
                            self._waiting_since = None
                    return False
                self._write(following)
            except BaseException:
                # Answers that were taken out of `_answers` must be read from the table again.
                self._is_table_ahead = True
                raise
            header = following.header
            self._position = header.last
            self._end.note(header.timelines[-1][0], header.last)
            with self._telling:
                self._head = max(self._head, header.last)
                if self._head == header.last:
                    self._waiting_since = None
                elif not following.is_more:
                    # All later commits came after the reading, and have waited since then at most.
                    self._waiting_since = read_at
            self._written += 1
            return following.is_more

    def _write(self, following: _Next) -> None:
        header = following.header
        suffix = ENCRYPTED_SUFFIX if self._recipients else ""
        write_segment(
            segment_path(self._folder, header.timelines[-1][0], header.first, header.last, suffix),
            header,
            following.lines,
            following.answers,
            last_hash=following.last_hash,
            recipients=self._recipients,
            signer=self._signing.signer(),
        )

    def _find_next(self, connection: apsw.Connection) -> _Next | None:
        if self._position is None:
            self._position = self._find_place(connection)
        after = self._position
        with self._telling:
            is_table_ahead, self._is_table_ahead = self._is_table_ahead, False
            told = self._told
        # Read the head first: later commits wait for the next second. Under load there are always some, and a
        # segment for every few commits would make commits wait for its two fsyncs.
        head = chain.read_head(connection).position
        if not is_table_ahead:
            # The answers of later commits have not come yet, and belong into the segment of their events: a
            # restore that begins behind that segment, or ends before it, would not look for them elsewhere.
            head = min(head, told)
        most = min(MAXIMUM_EVENTS, head - after)
        last = chain.end_of_next(connection, after, most=most, most_bytes=MAXIMUM_BYTES) if most > 0 else None
        end = after if last is None else self._end_of_timeline(after, last)
        answers = self._take_answers(end)
        if is_table_ahead:
            self._first_number = first_number(connection, after, self._first_number)
            answers = read_answers(connection, after, end, self._first_number)
            if end < head:
                self._is_table_ahead = True
        if last is None and not answers:
            return None
        header = self._header(connection, after + 1, end)
        lines = event_lines(connection, after, end)
        return _Next(header, lines, answers, _hash_at(connection, end).hex(), end < head)

    def read_log(self, first: int, last: int) -> Logged:
        """The log from one position to another, or to an earlier one if a segment has no room for more.

        Raises:
            BackupError: the log has no such positions.
        """
        with self._read() as connection:
            fitting = chain.end_of_next(
                connection, first - 1, most=last - first + 1, most_bytes=MAXIMUM_SEGMENT_BYTES // 2
            )
            end = first - 1 if fitting is None else self._end_of_timeline(first - 1, min(fitting, last))
            lines = event_lines(connection, first - 1, end)
            lines.extend(answer_lines(each_answer(connection, first - 1, end)))
            return Logged(self._header(connection, first, end), _hash_at(connection, end).hex(), lines)

    def _end_of_timeline(self, after: int, last: int) -> int:
        """The end of a segment from behind `after` to `last` at most: it must be on a single timeline."""
        return min([last, *(first - 1 for _, first in self._origin.timelines if first > after + 1)])

    def _header(self, connection: apsw.Connection, first: int, last: int) -> Header:
        return Header(
            store_id=self._origin.store_id,
            timelines=tuple(one for one in self._origin.timelines if one[1] <= first),
            first=first,
            last=last,
            previous_hash=_hash_at(connection, first - 1).hex(),
        )

    def _take_answers(self, end: int) -> list[Answer]:
        """Takes the waiting answers up to a position; later ones go on waiting."""
        with self._telling:
            taken = [one for one in self._answers if one.position <= end]
            self._answers = [one for one in self._answers if one.position > end]
        return taken

    def _find_place(self, connection: apsw.Connection) -> int:
        """The position up to which the archive has the history of this store.

        Raises:
            BackupError: the archive has another history.
        """
        firsts = [first for _, first in self._origin.timelines]
        for (timeline, first), following in zip(self._origin.timelines, [*firsts[1:], None], strict=True):
            reached, newest = first - 1, None
            for one in runs(list_segments(self._folder, timeline), first - 1):
                reached, newest = max(reached, one.last), one
            # In the archive, an older timeline may go on behind the position where the history forked.
            end = reached if following is None else min(reached, following - 1)
            if newest is not None:
                self._require_same(connection, newest, end)
            if following is None or end < following - 1:
                return end
        raise AssertionError("the last timeline has no end")

    def _require_same(self, connection: apsw.Connection, segment: Segment, position: int) -> None:
        if segment.is_encrypted:
            # Without a key, only the hashes before its first event and of its last one are known.
            envelope = read_envelope(segment, self._signing)
            header, known = envelope.header, {segment.last: bytes.fromhex(envelope.last_hash)}
        else:
            content = read_segment(segment, (), self._signing)
            header, known = content.header, {row.position: row.hash for row in content.rows}
        known[segment.first - 1] = bytes.fromhex(header.previous_hash)
        same_store = header.store_id == self._origin.store_id
        if not same_store or known.get(position, b"") not in (b"", _hash_at(connection, position)):
            raise BackupError(
                "foreign",
                f"the archive {self._folder} has another history: {segment.name} does not fit the log",
                "name another folder with HYPERPAGE_ARCHIVE, or move these files away",
            )

    def _is_outside(self) -> bool:
        if not isinstance(self._folder, Path):
            return True
        try:
            folder = next(one for one in (self._folder, *self._folder.parents) if one.exists())
            return folder.stat().st_dev != self._store.stat().st_dev
        except OSError:
            return False


def _hash_at(connection: apsw.Connection, position: int) -> bytes:
    row = chain.read_at(connection, position) if position else None
    if position and row is None:
        raise BackupError("foreign", f"the log has no position {position}, which the archive has")
    return chain.GENESIS_HASH if row is None else row.hash
