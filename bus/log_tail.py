"""The end of the log, kept in memory, so that what was just written need not be read again."""

from collections import deque
from collections.abc import Iterable
from itertools import islice

from bus.log import Row

MAXIMUM_ROWS = 5_000
MAXIMUM_BYTES = 8 * 1024 * 1024
# What a row weighs besides its texts.
_ROW_BYTES = 500


class LogTail:
    """The last rows that were committed, without a gap; the oldest go where they become too many.

    `head` is the last position that it was told of, 0 before that.
    """

    def __init__(self) -> None:
        self._rows: deque[Row] = deque()
        self._bytes = 0
        self.head = 0

    def extend(self, rows: Iterable[Row]) -> None:
        """Appends rows, which come in the order of their positions; those up to `head` are passed over."""
        for row in rows:
            if row.position <= self.head:
                continue
            if row.position != self.head + 1:
                self._forget_all()
            self._rows.append(row)
            self._bytes += _size(row)
            self.head = row.position
        while len(self._rows) > MAXIMUM_ROWS or self._bytes > MAXIMUM_BYTES:
            self._forget_first()

    def reach(self, position: int) -> None:
        """Notes that the log goes as far as this position at least."""
        if position > self.head:
            self._forget_all()
            self.head = position

    def after(self, position: int, limit: int) -> list[Row] | None:
        """At most `limit` rows behind a position; None where they are not here, and must be read."""
        if position >= self.head:
            return []
        if not self._rows or position + 1 < self._rows[0].position:
            return None
        start = position + 1 - self._rows[0].position
        return list(islice(self._rows, start, start + limit))

    def forget(self, position: int) -> None:
        """Lets go of the rows up to a position."""
        while self._rows and self._rows[0].position <= position:
            self._forget_first()

    def _forget_first(self) -> None:
        self._bytes -= _size(self._rows.popleft())

    def _forget_all(self) -> None:
        self._rows.clear()
        self._bytes = 0


def _size(row: Row) -> int:
    return len(row.data or "") + len(row.metadata or "") + _ROW_BYTES
