"""The metadata of the stream of events: the store it belongs to, and the sequences of the log's positions."""

from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from hyperpage_client.documents import decoded

# Keys in the stream's metadata.
STORE_ID = "hyperpage_store_id"
OFFSETS = "hyperpage_offsets"
FOREIGN_SEQUENCE = "hyperpage_foreign_sequence"
INCARNATION = "hyperpage_incarnation"
BEGINS_AT = "hyperpage_begins_at"
# In the stream of frames: their timeline, and the position behind which the first frame follows.
TIMELINE = "hyperpage_timeline"
LOG_BEGINS = "hyperpage_log_begins"


class Segment(msgspec.Struct, frozen=True):
    """A stretch of one timeline in a stream. `offset` is sequence − position."""

    timeline: int
    first_position: int
    offset: int

    @property
    def first_sequence(self) -> int:
        return self.first_position + self.offset


decode_segments = partial(decoded, msgspec.json.Decoder(tuple[Segment, ...]).decode)


def metadata_of(store_id: str, segments: Sequence[Segment]) -> dict[str, str]:
    """The metadata of the stream of a store with these segments."""
    return {STORE_ID: store_id, OFFSETS: msgspec.json.encode(segments).decode()}


def highest_timeline(metadata: Mapping[str, str]) -> int:
    """The highest timeline that a stream's metadata names, of any store; 0 if it names none."""
    try:
        segments = decode_segments(metadata.get(OFFSETS, "[]"))
    except msgspec.DecodeError:
        return 0
    return max((segment.timeline for segment in segments), default=0)
