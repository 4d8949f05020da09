"""Suspects: the durable commands that were being decided when the service went down, counted on disk.

So no command can take the service down for ever.

    mark ──▶ decide ──▶ mark others, or none      down in between: the next start counts it for those marked

If several commands were decided together, each of them is a suspect. Suspects are decided alone, each marked
on disk before, so that the second time shows which command it was. The broker's count of deliveries would not
show it: the broker delivers hundreds at once, and each start of the service begins with a new consumer.

    deciding     the mark, overwritten again and again; not synced for portions that are not suspects, since
                 it is to outlive the process, not the machine
    counts.json  how often the service went down with each suspect; written as a whole, synced
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bus.kept_files import make_folder, write_private
from hyperpage_client.documents import decoded
from hyperpage_client.identifiers import new_id

# More than the mark of any portion takes.
_LARGEST_MARK_BYTES = 1024 * 1024

logger = logging.getLogger(__name__)


# The sequence of a command in its stream, and when it was stored there, in nanoseconds. The time is needed
# because a broker that lost the end of a stream in a power cut gives the same sequences to other commands.
Place = tuple[int, int]


class _Mark(msgspec.Struct, frozen=True):
    """The commands that are being decided. `stream` is when their stream was made: a new one counts anew."""

    id: str
    stream: int
    places: Sequence[Place]


class _Counts(msgspec.Struct, frozen=True):
    """How often the service went down with each command. `counted` is the id of the last mark counted."""

    counted: str
    stream: int
    downs: Sequence[tuple[Place, int]]


_decode_mark = msgspec.json.Decoder(_Mark).decode
_decode_counts = msgspec.json.Decoder(_Counts).decode


class Suspects:
    """The marks and counts in one folder, which is made if it is missing. Used by one thread.

    Raises:
        OSError: the folder cannot be made, or read.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._counts_file = folder / "counts.json"
        self._mark_file = os.open(folder / "deciding", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # The file may hold a mark.
        self._is_marked = True
        self._stream = 0
        self._downs: dict[Place, int] = {}
        self._take_over()

    def close(self) -> None:
        """Closes the file of the mark; a mark in it stays."""
        os.close(self._mark_file)

    @property
    def count(self) -> int:
        """The number of suspects that have not been decided yet."""
        return len(self._downs)

    def downs(self, stream: int, place: Place) -> int:
        """How often the service went down while it decided the command at that place."""
        return self._downs.get(place, 0) if stream == self._stream else 0

    def mark(self, stream: int, places: Sequence[Place], *, synced: bool = False) -> None:
        """Notes that these commands, and no others, are being decided from now on.

        Raises:
            OSError: the mark cannot be written.
        """
        self._write(msgspec.json.encode(_Mark(new_id(), stream, places)))
        self._is_marked = True
        if synced:
            os.fdatasync(self._mark_file)

    def clear(self) -> None:
        """Notes that no command is being decided."""
        if self._is_marked:
            with _tolerated():
                self._write(b"")
                self._is_marked = False

    def decided(self, stream: int, place: Place) -> None:
        """Notes that a suspect was decided, and did not take the service down."""
        if self.downs(stream, place):
            del self._downs[place]
            if not self._downs:
                with _tolerated():
                    self._write_counts("")

    def forget_before(self, stream: int, first_sequence: int) -> None:
        """Forgets suspects below the first sequence that the stream still has."""
        if stream == self._stream:
            self._downs = {one: downs for one, downs in self._downs.items() if one[0] >= first_sequence}

    def _take_over(self) -> None:
        """Counts the mark of the last run; only once, even if the service goes down while it does so."""
        counts, mark = self._read_counts(), self._read_mark()
        self._stream, self._downs = counts.stream, dict(counts.downs)
        if mark is None:
            return
        if mark.id != counts.counted:
            if mark.stream != self._stream:
                self._stream, self._downs = mark.stream, {}
            for place in mark.places:
                self._downs[place] = self._downs.get(place, 0) + 1
            self._write_counts(mark.id)
        self.clear()

    def _read_mark(self) -> _Mark | None:
        said, end, _ = os.pread(self._mark_file, _LARGEST_MARK_BYTES, 0).partition(b"\n")
        try:
            # A mark that is cut off was being written when the service went down: none of it was decided yet.
            return decoded(_decode_mark, said) if said and end else None
        except msgspec.DecodeError:
            return None

    def _read_counts(self) -> _Counts:
        try:
            return decoded(_decode_counts, self._counts_file.read_bytes())
        except (FileNotFoundError, msgspec.DecodeError):
            return _Counts("", 0, ())

    def _write(self, mark: bytes) -> None:
        # The rest of a longer mark before it stays in the file behind the end of the line, and is not read.
        os.pwrite(self._mark_file, mark + b"\n", 0)

    def _write_counts(self, counted: str) -> None:
        write_private(
            self._counts_file, msgspec.json.encode(_Counts(counted, self._stream, tuple(self._downs.items())))
        )


@contextmanager
def _tolerated() -> Iterator[None]:
    # A mark or count that could not be removed only makes suspects of commands that are none.
    try:
        yield
    except OSError as error:
        logger.warning("that durable commands are decided cannot be noted: %s", error)
