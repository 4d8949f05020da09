"""`Portions`: groups of arrived commands that are read, decided and marked as suspects together."""

from collections import deque

from bus.serving.durable.delivery import Arrived
from bus.serving.durable.suspects import Place, Suspects

# The most commands that are read, one after the other, before the event loop has its turn.
PORTION = 512
# When this much has arrived, no more is asked for.
MAXIMUM_ARRIVED = 1_000
MAXIMUM_ARRIVED_BYTES = 16 * 1024 * 1024


class Portions:
    """The messages that wait to be read, in the order in which they came. Used by one thread.

    The writer has one portion at most, and the next one is read meanwhile. A suspect is a portion of its own,
    and no other portion is read while it is decided.
    """

    def __init__(self, suspects: Suspects) -> None:
        self._suspects = suspects
        self._arrived: deque[Arrived] = deque()
        self._arrived_bytes = 0
        # The places that are marked on disk, all of one stream.
        self._marked: list[Place] = []
        self._marked_stream = 0
        self._is_alone = False

    def __len__(self) -> int:
        return len(self._arrived)

    @property
    def has_room(self) -> bool:
        return len(self._arrived) < MAXIMUM_ARRIVED and self._arrived_bytes < MAXIMUM_ARRIVED_BYTES

    def add(self, message: Arrived) -> None:
        """Takes in the next message."""
        self._arrived.append(message)
        self._arrived_bytes += len(message.body)

    def clear(self) -> None:
        """Forgets all that waits."""
        self._arrived.clear()
        self._arrived_bytes = 0

    def may_read(self, *, is_busy: bool) -> bool:
        """Whether there is a portion that may be read now. `is_busy`: the writer has one."""
        if not (self._arrived and is_busy):
            return bool(self._arrived)
        following = self._arrived[0]
        is_suspect = self._is_alone or self._downs(following) > 0
        return not is_suspect and following.stream == self._marked_stream and len(self._marked) <= PORTION

    def next(self, *, is_busy: bool, at_most: int = PORTION) -> tuple[list[Arrived], int]:
        """The next portion, and how often the service went down with it: more than 0 for a suspect.

        Its places are marked in the file when this returns, beside those that the writer has. Only the mark
        of a suspect is synced.

        Raises:
            OSError: the mark cannot be written.
        """
        first = self._arrived.popleft()
        portion, downs = [first], self._downs(first)
        while (
            not downs
            and self._arrived
            and len(portion) < at_most
            and self._arrived[0].stream == first.stream
            and not self._downs(self._arrived[0])
        ):
            portion.append(self._arrived.popleft())
        self._arrived_bytes -= sum(len(message.body) for message in portion)
        marked = [message.place for message in portion]
        self._marked = [*self._marked, *marked] if is_busy else marked
        self._marked_stream, self._is_alone = first.stream, downs > 0
        self._suspects.mark(first.stream, self._marked, synced=downs > 0)
        return portion, downs

    def handed_over(self, places: list[Place]) -> None:
        """Notes the places that the writer has now; everything that it had before is decided."""
        self._marked = places

    def _downs(self, message: Arrived) -> int:
        return self._suspects.downs(message.stream, message.place)
