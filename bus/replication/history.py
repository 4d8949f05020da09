"""`History`: the events and timelines of a file, and whether a log leads on from them."""

import apsw

from bus.log import chain
from bus.log.cloud_events import Origin
from bus.replication.frame import Frame
from bus.replication.log_stream import (
    AnotherStoresLogError,
    DivergedLogError,
    EarlierTimelineError,
    GapError,
    LaterTimelineError,
)
from domain.catalogue import TIMELINE_FORKED, TIMELINE_STREAM, TimelineForked, decode_event

Timelines = tuple[tuple[int, int], ...]


def restored_timeline(connection: apsw.Connection) -> int:
    """The last timeline of a file that a restore began; 0 if none did."""
    timeline = connection.execute(
        "SELECT max(data ->> '$.timeline') FROM events"
        " WHERE stream = ? AND type = ? AND data ->> '$.leader' IS NULL",
        (TIMELINE_STREAM, TIMELINE_FORKED),
    ).get
    return int(timeline or 0)


def fork_of_row(row: chain.Row) -> tuple[int, int]:
    """The timeline that an event begins, and the position of that event."""
    event = decode_event(row.type, row.data or b"")
    assert isinstance(event, TimelineForked), row.type
    return event.timeline, row.position


class History:
    """Compares frames with the events of a file, which `connection` reads."""

    def __init__(self, connection: apsw.Connection, origin: Origin) -> None:
        self._connection = connection
        self._restored = restored_timeline(connection)
        self.origin = origin

    def require_following(self, head: chain.Head, timelines: Timelines, frame: Frame) -> Timelines:
        """The timelines of the file with a frame, if that may follow `head`, or is in the file already.

        Raises:
            DivergedLogError: the file has other events than the log. OutdatedFileError: events between them
                are missing, or a leader was restored or took over without all that the file has.
            AnotherStoresLogError: the frame is of another store.
        """
        if frame.store_id != self.origin.store_id:
            raise AnotherStoresLogError(
                f"the log has events of the store {frame.store_id}, and this one is {self.origin.store_id}",
                "only the user of the relay may have the right to publish there",
            )
        if (fork := _fork_in(frame)) is not None and fork[1] == head.position + 1:
            timelines = (*timelines, fork)
        begun = (timeline for timeline, first in reversed(timelines) if max(1, frame.last) >= first)
        # A store that was never served may have no timeline yet.
        of_file = next(begun, 1)
        if frame.timeline < self._restored:
            raise self._is_earlier(frame.timeline)
        if frame.timeline > of_file:
            raise self._is_later(frame.timeline)
        # A timeline that a leader began may be lost with the end of the log. A leader that went on there has
        # not begun it.
        if frame.timeline < of_file or not self._agrees(head, frame):
            raise DivergedLogError(
                f"the log has other events than this file, from position {frame.before.position} on",
                "stop this one, and have its file made anew with `hyperpage cluster reseed`: the old one is"
                " kept, and its events that the log lacks are told",
            )
        return timelines

    def require_timeline(self, timeline: int) -> None:
        """Refuses a log that was made with a timeline which does not fit the file.

        A restored store begins a log of its own. The timelines that leaders begin are in the log.

        Raises:
            EarlierTimelineError, LaterTimelineError: it does not fit.
        """
        if timeline < self._restored:
            raise self._is_earlier(timeline)
        if timeline > self.origin.timeline:
            raise self._is_later(timeline)

    def ends_restored(self, head: chain.Head) -> bool:
        """Whether a file that ends there was restored, and has no event since."""
        return self.origin.timelines[-1:] == ((self._restored, head.position),)

    def _is_earlier(self, timeline: int) -> EarlierTimelineError:
        return EarlierTimelineError(
            f"the log is of timeline {timeline}, and this file was restored to {self.origin.timeline}",
            "once a member with such a file leads, the log is begun anew; until then, no other may lead",
        )

    def _is_later(self, timeline: int) -> LaterTimelineError:
        return LaterTimelineError(
            f"the log is of timeline {timeline}, and this file of {self.origin.timeline}",
            "a leader was restored, or took over without what this file has: at the next start, the file is"
            " made anew",
        )

    def _agrees(self, head: chain.Head, frame: Frame) -> bool:
        """Whether the hashes of a frame fit those of the file, as far as both have them."""
        before = frame.before.position
        if before > head.position:
            raise GapError(
                f"the log goes on at position {before}, and this file ends at {head.position}",
                "at the next start, the file is made anew of a newer backup, or of the archive",
            )
        previous = self._hash_at(before, head)
        if previous is not None and previous != frame.before.hash:
            return False
        previous = frame.before.hash
        for position, row in enumerate(frame.rows, before + 1):
            if row[0] != position or chain.chain_hash(previous, *row[:-1]) != row[-1]:
                return False
            previous = row[-1]
        known = min(frame.last, head.position)
        return known <= before or frame.rows[known - before - 1][-1] == self._hash_at(known, head)

    def _hash_at(self, position: int, head: chain.Head) -> bytes | None:
        if position == head.position:
            return head.hash
        if position == 0:
            return chain.GENESIS_HASH
        row = chain.read_at(self._connection, position)
        return None if row is None else row.hash


def _fork_in(frame: Frame) -> tuple[int, int] | None:
    """The timeline that a frame begins, if it does, and where: a fork has a frame of its own."""
    if not frame.rows or frame.rows[0][3] != TIMELINE_FORKED:
        return None
    return fork_of_row(chain.Row(*frame.rows[0]))
