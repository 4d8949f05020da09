"""What the broker tells a client of the stream of events: what it holds, and where a position is in it."""

from typing import Any

import msgspec

from bus.client.connection import ClientConnection, ClosedError, Unreachable
from bus.contract.stream_metadata import OFFSETS, STORE_ID, Segment

REQUEST_SECONDS = 2.0

_encode = msgspec.json.Encoder().encode


class FeedLostError(RuntimeError):
    """Events may be missing from here on, or the broker has none; the log has them all."""


class StreamState(msgspec.Struct, frozen=True):
    """What a stream holds. `num_deleted` counts messages that are gone from between others."""

    first_seq: int = 0
    last_seq: int = 0
    num_deleted: int = 0


class _Configuration(msgspec.Struct):
    metadata: dict[str, str] = {}


class StreamReport(msgspec.Struct, frozen=True):
    """What a stream is and holds. `created` differs for one that was made anew."""

    config: _Configuration
    created: str
    state: StreamState

    def sequence_behind(self, store_id: str | None, timeline: int, position: int) -> int | None:
        """The sequence at which the event behind a position is, was or will be; None where that is not known.

        The relay notes in the stream's metadata how far sequences are ahead of positions: a segment each time
        that changes. Only the last is of use: before it there may be events that a restore has undone.
        """
        metadata = self.config.metadata
        if store_id is None or metadata.get(STORE_ID) != store_id:
            return None
        try:
            segments = _decode_segments(metadata.get(OFFSETS, "[]"))
        except msgspec.MsgspecError:
            return None
        # A segment is noted before its first message is stored, and noted otherwise if that changes.
        begun = [segment for segment in segments if segment.first_sequence <= self.state.last_seq]
        if not begun or begun[-1].timeline != timeline or begun[-1].first_position > position + 1:
            return None
        return min(position + 1 + begun[-1].offset, self.state.last_seq + 1)


class _Answer(msgspec.Struct):
    error: dict[str, Any] | None = None


_decode_report = msgspec.json.Decoder(StreamReport).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_segments = msgspec.json.Decoder(tuple[Segment, ...]).decode


async def report_on(connection: ClientConnection, stream: str) -> StreamReport:
    """What a stream is and holds.

    Raises:
        FeedLostError: there is none, or nobody says.
    """
    return _decode_report(await ask_jetstream(connection, f"STREAM.INFO.{stream}"))


async def ask_jetstream(connection: ClientConnection, verb: str, request: Any = None) -> bytes:
    """JetStream's answer.

    Raises:
        FeedLostError: there is none, or it refuses.
    """
    body = b"" if request is None else _encode(request)
    try:
        answer = await connection.ask(f"$JS.API.{verb}", body, within_seconds=REQUEST_SECONDS)
    except (Unreachable, ClosedError) as error:
        raise FeedLostError(str(error)) from error
    refused = _decode_answer(answer).error
    if refused is not None:
        raise FeedLostError(f"JetStream refuses {verb}: {refused.get('description')}")
    return answer
