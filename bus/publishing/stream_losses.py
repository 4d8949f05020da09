"""What a stream of events lacks that no limit has sent away.

nats-server may know after a power cut how far a stream was, and find no file with its messages, or some of
its files alone. Whoever empties it leaves the same: to have it keep less, there are limits.
"""

import enum
from collections.abc import Sequence
from typing import Any

import apsw

from bus.log import chain
from bus.publishing.stream_state import segment_at
from hyperpage_client.contract.stream_metadata import BEGINS_AT, Segment
from hyperpage_client.transport.jetstream_answers import StreamCounts, StreamReport

# The largest message, with its headers: where it has no room, the oldest may have gone for one.
LARGEST_MESSAGE_BYTES = 1024 * 1024 + 64 * 1024
# By so much, the service's time may be ahead of nats-server's.
CLOCKS_MS = 60_000


class Loss(enum.StrEnum):
    """What is not there."""

    END = "its last messages"
    OTHERS = "some of its messages"


def first_there(counts: StreamCounts) -> int:
    """The sequence of the first message that is there, or of the next one if none is."""
    return counts.first_seq if counts.messages else counts.last_seq + 1


def lost_between(report: StreamReport) -> bool:
    """Whether messages are gone from between others."""
    return report.state.num_deleted > 0 and not _limit(report.config, "max_msgs_per_subject")


def lost_at_beginning(
    connection: apsw.Connection, report: StreamReport, segments: Sequence[Segment], now_ms: int
) -> int:
    """How many messages are gone from the beginning that no limit has sent away.

    What limits had sent away by an earlier start is not counted, though they may be wider now: the stream's
    metadata says where it began then. `now_ms` is the time in milliseconds since the epoch.
    """
    begins_at = report.metadata.get(BEGINS_AT, "")
    expected = int(begins_at) if begins_at.isdecimal() else 1
    first = first_there(report.state)
    if first <= expected:
        return 0
    segment = segment_at(segments, first - 1)
    row = None if segment is None else chain.read_at(connection, first - 1 - segment.offset)
    if _may_have_left(report, None if row is None else row.recorded_at, now_ms):
        return 0
    return first - expected


def _may_have_left(report: StreamReport, recorded_at: int | None, now_ms: int) -> bool:
    """Whether a limit may have sent away the message before the first one, of an event of that time."""
    config, counts = report.config, report.state
    kept_ms = _limit(config, "max_age") // 1_000_000
    # It goes by the time at which it was published, which is no earlier than its event's.
    is_old = kept_ms > 0 and recorded_at is not None and recorded_at + kept_ms <= now_ms + CLOCKS_MS
    # These leave the newest.
    makes_room = counts.messages > 0 and (
        _limit(config, "max_msgs_per_subject") > 0
        or 0 < _limit(config, "max_msgs") <= counts.messages
        or 0 < _limit(config, "max_bytes") < counts.bytes + LARGEST_MESSAGE_BYTES
    )
    return is_old or makes_room


def _limit(config: dict[str, Any], name: str) -> int:
    """0: none."""
    return max(config.get(name) or 0, 0)
