"""Whether the audit log is what was written: `verify`.

Found out is every line that was changed, removed, put in or moved, as long as those behind it were not all
written anew; and that, and a log that was cut at its end, where a head is known from elsewhere.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ops.audit.entry import Head, LineError, read_line
from ops.audit.files import AuditError, AuditFile, files_in, lines_of, opened
from ops.audit.trail import PRUNE, Pruned, is_torn

# Files that are deleted meanwhile, since there are too many, are no reason to complain.
_TRIES = 3


class WrongLine(msgspec.Struct, frozen=True, kw_only=True):
    """The first line that is wrong: its file and its number there, from 1 on, and what is wrong with it."""

    file: str
    line: int
    reason: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. `first` is the number of the first line that is kept, `head` the head behind the last.

    `torn_bytes` is what a power cut has left of a line at the end; the next line will say so.
    """

    files: int
    lines: int
    first: int
    head: str
    torn_bytes: int
    wrong: WrongLine | None

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return self.wrong is None


def verify(folder: Path, known: Sequence[Head] = ()) -> Verdict:
    """The whole log, read once; `known` are heads that it had at some time, as somebody else has kept them.

    Raises:
        AuditError: it cannot be read.
    """
    for tries_left in reversed(range(_TRIES)):
        try:
            return _Verification(known).of(files_in(folder))
        except OSError as error:
            if isinstance(error, FileNotFoundError) and tries_left:
                continue
            raise AuditError(error.errno, str(error.strerror or error), str(error.filename)) from error
    raise AssertionError("the last try returns or raises")


class _Place(msgspec.Struct, frozen=True):
    """A line where it was read; `is_last` of all."""

    file: str
    number: int
    content: bytes
    is_last: bool

    def wrong(self, reason: str) -> WrongLine:
        return WrongLine(file=self.file, line=self.number, reason=reason)


class _Verification:
    """One reading of all lines."""

    def __init__(self, known: Sequence[Head]) -> None:
        self._known = {one.sequence: one.hash for one in known if one.sequence}
        # Of these, the number was not said.
        self._sought = {one.hash for one in known if not one.sequence}
        self._before_first: Head | None = None
        self._head = Head()
        self._lines = 0
        self._pruned: set[Head] = set()
        self._torn_bytes = 0

    def of(self, files: Sequence[AuditFile]) -> Verdict:
        """What is found in these files."""
        wrong, place = None, _Place("", 0, b"", False)
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
        )

    def _read(self, content: bytes) -> str | None:
        """What is wrong with the next line, if anything is."""
        try:
            line = read_line(content.removesuffix(b"\n"))
        except LineError as error:
            return str(error)
        entry = line.entry
        if self._before_first is None:
            self._before_first = self._head = Head(entry.sequence - 1, entry.previous)
        if entry.sequence != self._head.sequence + 1:
            return f"line {entry.sequence} stands behind line {self._head.sequence}: some are gone, or moved"
        if entry.previous != self._head.hash:
            return "it does not follow from the line before, which was changed, or put in"
        known = self._known.pop(entry.sequence, line.hash)
        if known != line.hash:
            return f"it is another one than that whose hash is known, {known}"
        self._sought.discard(line.hash)
        if entry.action == PRUNE:
            self._pruned |= _said_to_be_pruned(entry.request)
        self._head = line.head
        self._lines += 1
        return None

    def _missing_before(self) -> str | None:
        first = self._before_first or Head()
        if first == Head() or first in self._pruned:
            return None
        return f"the log begins with line {first.sequence + 1}, and no line says that those before it went"

    def _missing_behind(self) -> str | None:
        """What is gone of what is known; heads of files that were deleted are not expected."""
        gone = [number for number in self._known if number > self._head.sequence]
        if gone:
            return f"the log ends with line {self._head.sequence}, and there was a line {max(gone)}"
        # With its number, one that may stand in a file that went would be told from one that was cut off.
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
        pruned = msgspec.json.decode(request, type=Pruned)
    except msgspec.DecodeError:
        return set()
    return {Head(pruned.last, pruned.hash)}
