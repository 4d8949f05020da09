"""Checks that the audit log is as it was written: `verify`.

It finds every line that was changed, removed, inserted or moved, unless all lines after it were rewritten to
match. With a head that is known from elsewhere, it finds that, too, and a log that was cut off at its end.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ops.audit.entry import Head, LineError, read_line
from ops.audit.files import AuditError, AuditFile, files_in, lines_of, opened
from ops.audit.trail import PRUNE, Pruned, is_torn
from ops.targets.documents import decode_document

# The service may prune files while they are read; then the check begins again.
_TRIES = 3


class WrongLine(msgspec.Struct, frozen=True, kw_only=True):
    """The first wrong line: its file, its number in that file, from 1 on, and what is wrong with it."""

    file: str
    line: int
    reason: str


class KeptHead(msgspec.Struct, frozen=True, kw_only=True):
    """A head that the log had at a time (milliseconds since the epoch); `where` names the source."""

    head: Head
    at: int
    where: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a check. `first` is the number of the first line, `head` the head after the last.

    `torn_bytes` is the size of a line that a power cut left unfinished; the next append will say so.
    `compared_with` is how many kept heads the log was compared with; `earlier` names the last head of a log
    that was there before this one.
    """

    files: int
    lines: int
    first: int
    head: str
    torn_bytes: int
    wrong: WrongLine | None
    compared_with: int = 0
    earlier: str | None = None

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return self.wrong is None


def verify(folder: Path, known: Sequence[Head] = (), kept: Sequence[KeptHead] = ()) -> Verdict:
    """Reads the whole log once and checks it. `known` are earlier heads of it that the caller has kept.

    Heads in `kept` from before this log's first line belong to an earlier log, one that was moved away for
    instance: `earlier` says so. It does not if this log begins with a restore, since a store that is restored
    elsewhere begins a log of its own.

    Raises:
        AuditError: the log cannot be read.
    """
    for tries_left in reversed(range(_TRIES)):
        try:
            return _Verification(known, kept).of(files_in(folder))
        except OSError as error:
            if isinstance(error, FileNotFoundError) and tries_left:
                continue
            raise AuditError(error.errno, str(error.strerror or error), str(error.filename)) from error
    raise AssertionError("the last try returns or raises")


class _Place(msgspec.Struct, frozen=True):
    """A line and where it was read; `is_last` marks the last line of the log."""

    file: str
    number: int
    content: bytes
    is_last: bool

    def wrong(self, reason: str) -> WrongLine:
        return WrongLine(file=self.file, line=self.number, reason=reason)


class _Verification:
    """One reading of all lines."""

    def __init__(self, known: Sequence[Head], kept: Sequence[KeptHead]) -> None:
        self._known = {one.sequence: one.hash for one in known if one.sequence}
        # Known hashes without a number: any line may have them.
        self._sought = {one.hash for one in known if not one.sequence}
        self._kept = kept
        self._said_by: dict[int, str] = {}
        self._earlier: KeptHead | None = None
        self._before_first: Head | None = None
        self._head = Head()
        self._lines = 0
        self._pruned: set[Head] = set()
        self._torn_bytes = 0

    def of(self, files: Sequence[AuditFile]) -> Verdict:
        """The verdict on these files."""
        wrong, place = None, _Place("", 0, b"", False)
        if not files:
            self._know_kept_since(0)
        for place in _places(files):
            if place.is_last and is_torn(place.content):
                self._torn_bytes = len(place.content)
                break
            reason = self._read(place.content)
            if reason is not None:
                wrong = place.wrong(reason)
                break
        if wrong is None and (reason := self._missing_before()) is not None:
            wrong = WrongLine(file=files[0].path.name, line=1, reason=reason)
        if wrong is None and (reason := self._missing_behind()) is not None:
            wrong = place.wrong(reason)
        return Verdict(
            files=len(files),
            lines=self._lines,
            first=(self._before_first or Head()).sequence + 1,
            head=str(self._head),
            torn_bytes=self._torn_bytes,
            wrong=wrong,
            compared_with=len(self._said_by),
            earlier=None if self._earlier is None else f"line {self._earlier.head}, by {self._earlier.where}",
        )

    def _read(self, content: bytes) -> str | None:
        """Checks the next line, and says what is wrong with it; `None` if nothing is."""
        try:
            line = read_line(content.removesuffix(b"\n"))
        except LineError as error:
            return str(error)
        entry = line.entry
        if self._before_first is None:
            self._before_first = self._head = Head(entry.sequence - 1, entry.previous)
            self._know_kept_since(entry.at if self._head == Head() else 0)
            if entry.action == "backup.restore":
                self._earlier = None
        if entry.sequence != self._head.sequence + 1:
            return f"line {entry.sequence} stands behind line {self._head.sequence}: some are gone, or moved"
        if entry.previous != self._head.hash:
            return "it does not follow from the line before, which was changed, or put in"
        known = self._known.pop(entry.sequence, line.hash)
        if known != line.hash:
            return f"it is another one than that whose hash is known{self._by(entry.sequence)}, {known}"
        self._sought.discard(line.hash)
        if entry.action == PRUNE:
            self._pruned |= _said_to_be_pruned(entry.request)
        self._head = line.head
        self._lines += 1
        return None

    def _know_kept_since(self, at: int) -> None:
        """Expects in the log the kept heads from `at` on; the newest head before that is an earlier log's."""
        for one in self._kept:
            if one.at >= at:
                self._known.setdefault(one.head.sequence, one.head.hash)
                self._said_by[one.head.sequence] = one.where
            elif self._earlier is None or one.at > self._earlier.at:
                self._earlier = one

    def _by(self, number: int) -> str:
        """The source of a known line, for a message; empty if there is none."""
        return f" when {self._said_by[number]} was made" if number in self._said_by else ""

    def _missing_before(self) -> str | None:
        first = self._before_first or Head()
        if first == Head() or first in self._pruned:
            return None
        return f"the log begins with line {first.sequence + 1}, and no line says that those before it went"

    def _missing_behind(self) -> str | None:
        """A message if known heads are missing, else `None`; heads in pruned files are not expected."""
        gone = [number for number in self._known if number > self._head.sequence]
        if gone:
            last = max(gone)
            return (
                f"the log ends with line {self._head.sequence}, and there was a line {last}{self._by(last)}"
            )
        # Without a number, a hash in a pruned file cannot be told from one that was cut off the end.
        return f"no line has the hash that is known, {min(self._sought)}" if self._sought else None


def _places(files: Sequence[AuditFile]) -> Iterator[_Place]:
    for file in files:
        left = file.size_bytes
        with opened(file.path, os.O_RDONLY) as descriptor, open(descriptor, "rb", closefd=False) as reader:
            for number, content in enumerate(lines_of(reader, file.size_bytes), 1):
                left -= len(content)
                yield _Place(file.path.name, number, content, file is files[-1] and left == 0)


def _said_to_be_pruned(request: str) -> set[Head]:
    try:
        pruned = decode_document(request, Pruned)
    except msgspec.DecodeError:
        return set()
    return {Head(pruned.last, pruned.hash)}
