"""Appends to the audit log: `AuditTrail`. A service and commands of the command line may append at once.

A line is on disk before `append` returns. If a power cut leaves a part of a line, the next append removes the
part and says so in a line, `audit.torn`. After a full file comes a new one, whose first line has the hash of
the last line before it. Before an old file is deleted, a line says so (`audit.prune`).
"""

import errno
import hashlib
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bus.kept_files import make_folder, sync_folder
from bus.serving.audit import Act, Actor
from ops.audit.entry import MAXIMUM_LINE_BYTES, Head, LineError, line_of, read_line
from ops.audit.files import (
    FOLDER,
    AuditError,
    AuditFile,
    files_in,
    locked,
    make_file,
    opened,
    path_of,
)

MIB = 1024 * 1024
# How large a file grows; less if the setting keeps little in all.
FILE_BYTES = 8 * MIB
_FILES_AT_LEAST = 4
TORN = "audit.torn"
PRUNE = "audit.prune"
# How much of a torn line the line `audit.torn` repeats.
_SHOWN_CHARACTERS = 300
_OURSELVES = Actor(name="hyperpage", via="service")


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """The request of a line `audit.prune`: the deleted file, and the number and hash of its last line."""

    file: str
    last: int
    hash: str


class Torn(msgspec.Struct, frozen=True, kw_only=True):
    """The request of a line `audit.torn`: the size of the torn line, its SHA-256, and its beginning."""

    bytes: int
    sha256: str
    text: str


class _End(msgspec.Struct, frozen=True):
    """The end of the log, where the next line goes; `torn` is a part of a line behind the last whole one."""

    path: Path
    number: int
    size_bytes: int
    head: Head
    torn: bytes = b""


class AuditTrail:
    """The audit log of a data directory. Any thread may append.

    `kept_bytes` is how many bytes of the log are kept; 0: all.
    """

    def __init__(self, data: Path, *, kept_bytes: int = 0) -> None:
        self.folder = data / FOLDER
        self._kept_bytes = kept_bytes
        self._file_bytes = min(FILE_BYTES, kept_bytes // _FILES_AT_LEAST) if kept_bytes else FILE_BYTES
        self._appending = threading.Lock()
        # The end after our last append; another process may have written since.
        self._end: _End | None = None

    def append(self, *acts: Act) -> Head:
        """Appends acts, which are on disk when this returns, and gives the new head of the log.

        Raises:
            AuditError: the acts could not be written, and none of them is in the log.
        """
        try:
            with self._appending:
                make_folder(self.folder)
                with locked(self.folder):
                    return self._append(acts)
        except OSError as error:
            self._end = None
            raise AuditError(
                error.errno, f"the audit log cannot be written: {error.strerror or error}", str(self.folder)
            ) from error

    def head(self) -> Head:
        """The head of the log as it is now, with the lines of other processes.

        Raises:
            AuditError: the log cannot be read.
        """
        try:
            with self._appending:
                return self._found_end(files_in(self.folder)).head
        except OSError as error:
            raise AuditError(
                error.errno, f"the audit log cannot be read: {error.strerror or error}", str(self.folder)
            ) from error

    def _append(self, acts: Sequence[Act]) -> Head:
        files = files_in(self.folder)
        end = self._found_end(files)
        if not files:
            make_file(end.path)
        noted = [_about_torn(end.torn)] if end.torn else []
        lines, head = _lines([*noted, *acts], end.head)
        if end.size_bytes and end.size_bytes + len(lines) > self._file_bytes:
            if end.torn:
                self._write(end, b"", end.head)
            end = _End(path_of(self.folder, end.number + 1), end.number + 1, 0, end.head)
            make_file(end.path)
            end = self._prune(end)
            lines, head = _lines([*noted, *acts], end.head)
        self._write(end, lines, head)
        return head

    def _write(self, end: _End, lines: bytes, head: Head) -> None:
        with opened(end.path, os.O_WRONLY | os.O_APPEND) as descriptor:
            if end.torn:
                os.ftruncate(descriptor, end.size_bytes)
            try:
                written = 0
                while written < len(lines):
                    written += os.write(descriptor, lines[written:])
                os.fsync(descriptor)
            except OSError:
                # On a full disk, a part of the lines may have been written.
                os.ftruncate(descriptor, end.size_bytes)
                raise
        self._end = _End(end.path, end.number, end.size_bytes + len(lines), head)

    def _prune(self, end: _End) -> _End:
        """Deletes the oldest files while the log is larger than the limit, each after a line that says so."""
        if not self._kept_bytes:
            return end
        files = files_in(self.folder)
        left_bytes = sum(one.size_bytes for one in files) + self._file_bytes
        while left_bytes > self._kept_bytes and len(files) > _FILES_AT_LEAST - 1:
            oldest, second = files[:2]
            last = _before_first_of(second)
            if last is None:
                # The second file's first line was changed: the files are evidence, so they stay.
                break
            line, head = _lines([_about_pruned(oldest, last)], end.head)
            self._write(end, line, head)
            assert self._end is not None, "it was written just now"
            end = self._end
            oldest.path.unlink()
            sync_folder(self.folder)
            left_bytes -= oldest.size_bytes
            files = files[1:]
        return end

    def _found_end(self, files: Sequence[AuditFile]) -> _End:
        if not files:
            return _End(path_of(self.folder, 1), 1, 0, Head())
        newest, known = files[-1], self._end
        if known is not None and (newest.path, newest.size_bytes) == (known.path, known.size_bytes):
            return known
        head, torn = Head(), b""
        for one in reversed(files):
            found, torn_here = _end_of(one)
            torn = torn_here if one is newest else torn
            if found is not None:
                head = found
                break
        return _End(newest.path, newest.number, newest.size_bytes - len(torn), head, torn)


def audit_trail(data: Path, kept_mib: int) -> AuditTrail:
    """The audit log of a data directory; `kept_mib` is the setting for how much of it is kept."""
    return AuditTrail(data, kept_bytes=kept_mib * MIB)


def _end_of(file: AuditFile) -> tuple[Head | None, bytes]:
    """The head after the file's last whole line, `None` if no line can be read, and the torn bytes behind."""
    content = _last_bytes(file, 4 * MAXIMUM_LINE_BYTES)
    if b"\n" not in content and len(content) < file.size_bytes:
        content = _last_bytes(file, 2 * FILE_BYTES)
        if len(content) < file.size_bytes:
            raise OSError(errno.EFBIG, "it is damaged: its last lines have no end", str(file.path))
    *lines, torn = content.split(b"\n")
    if not torn and lines and is_torn(lines[-1] + b"\n"):
        torn = lines.pop() + b"\n"
    for line in reversed(lines):
        try:
            return read_line(line).head, torn
        except LineError:
            # The last line was changed. The log goes on after it, and `audit verify` reports it.
            continue
    return None, torn


def is_torn(line: bytes) -> bool:
    """Whether the last line of the log was left by a power cut: it has no newline, or holds zero bytes."""
    return not line.endswith(b"\n") or b"\0" in line


def _last_bytes(file: AuditFile, most: int) -> bytes:
    with opened(file.path, os.O_RDONLY) as descriptor:
        return os.pread(descriptor, most, max(0, file.size_bytes - most))


def _before_first_of(file: AuditFile) -> Head | None:
    """The head of the log before a file's first line; `None` if that line was changed."""
    with opened(file.path, os.O_RDONLY) as descriptor:
        line = os.pread(descriptor, MAXIMUM_LINE_BYTES, 0).partition(b"\n")[0]
    try:
        entry = read_line(line).entry
    except LineError:
        return None
    return Head(entry.sequence - 1, entry.previous)


def _lines(acts: Sequence[Act], head: Head) -> tuple[bytes, Head]:
    lines = []
    for act in acts:
        line, head = line_of(act, head)
        lines.append(line)
    return b"".join(lines), head


def _about_torn(torn: bytes) -> Act:
    begins = torn.replace(b"\0", b"").decode("utf-8", "replace")[:_SHOWN_CHARACTERS]
    said = Torn(bytes=len(torn), sha256=hashlib.sha256(torn).hexdigest(), text=begins)
    return _note(TORN, said)


def _about_pruned(file: AuditFile, last: Head) -> Act:
    return _note(PRUNE, Pruned(file=file.path.name, last=last.sequence, hash=last.hash))


def _note(action: str, said: msgspec.Struct) -> Act:
    return Act(
        at=time.time_ns() // 1_000_000,
        actor=_OURSELVES,
        action=action,
        request=msgspec.json.encode(said).decode(),
        outcome="done",
    )
