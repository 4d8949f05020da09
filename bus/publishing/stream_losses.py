"""Messages that a stream of events lacks, although no limit has removed them.

After a power cut, nats-server may know how far a stream was, but find none or only some of the files with its
messages. A stream that was purged by hand looks the same; limits are the way to keep less.
"""

import enum
from collections.abc import Sequence
from typing import Any

import apsw

from bus.log import chain
from bus.publishing.stream_state import segment_at
from hyperpage_client.contract.stream_metadata import BEGINS_AT, Segment
from hyperpage_client.transport.jetstream_answers import StreamCounts, StreamReport

# The largest message, with its headers. If it has no room within a limit, the oldest one may have been
# removed.
LARGEST_MESSAGE_BYTES = 1024 * 1024 + 64 * 1024
# How far the service's clock may be ahead of nats-server's.
CLOCKS_MS = 60_000


class Loss(enum.StrEnum):
    """The part of a stream that is missing."""

    END = "its last messages"
    OTHERS = "some of its messages"


def first_there(counts: StreamCounts) -> int:
    """The sequence of the first message that the stream has, or of the next one if it has none."""
    return counts.first_seq if counts.messages else counts.last_seq + 1


def lost_between(report: StreamReport) -> bool:
    """Whether messages between others are missing that no limit for each subject can have removed."""
    return report.state.num_deleted > 0 and not _limit(report.config, "max_msgs_per_subject")


def lost_at_beginning(
    connection: apsw.Connection, report: StreamReport, segments: Sequence[Segment], now_ms: int
) -> int:
    """The number of messages that are missing at the beginning, although no limit removed them.

    Messages that limits had removed by an earlier start do not count, even if the limits are wider now: the
    stream's metadata says where it began then. `now_ms` is the time in milliseconds since the epoch.
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
    """Whether a limit may have removed the message before the first one, whose event is of that time."""
    config, counts = report.config, report.state
    kept_ms = _limit(config, "max_age") // 1_000_000
    # nats-server counts the age from the publishing of a message, which is not earlier than its event.
    is_old = kept_ms > 0 and recorded_at is not None and recorded_at + kept_ms <= now_ms + CLOCKS_MS
    # These limits keep the newest messages.
    makes_room = counts.messages > 0 and (
        _limit(config, "max_msgs_per_subject") > 0
        or 0 < _limit(config, "max_msgs") <= counts.messages
        or 0 < _limit(config, "max_bytes") < counts.bytes + LARGEST_MESSAGE_BYTES
    )
    return is_old or makes_room


def _limit(config: dict[str, Any], name: str) -> int:
    """The limit of that name; 0: none."""
    return max(config.get(name) or 0, 0)
