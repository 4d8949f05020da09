"""The stream of events as the broker reports it to a client, and the sequence of a position in it."""

from typing import Any

import msgspec

from hyperpage_client.asking.connection import ClientConnection, ClosedError, Unreachable
from hyperpage_client.contract.stream_metadata import OFFSETS, STORE_ID, decode_segments
from hyperpage_client.documents import encode
from hyperpage_client.transport.jetstream_answers import StreamReport, decode_report, error_in


class FeedLostError(RuntimeError):
    """Events may be missing from here on, or the broker gives none; the log has all of them."""


def sequence_behind(report: StreamReport, store_id: str | None, timeline: int, position: int) -> int | None:
    """The sequence at which the event behind a position is, was or will be; None if that is not known.

    The relay notes in the stream's metadata how far sequences are ahead of positions: a segment each time
    that changes. Only the last segment is of use: before it, there may be events that a restore has undone.
    """
    if store_id is None or report.metadata.get(STORE_ID) != store_id:
        return None
    try:
        segments = decode_segments(report.metadata.get(OFFSETS, "[]"))
    except msgspec.MsgspecError:
        return None
    # A segment is noted before its first message is stored, and changed if that gets another sequence.
    begun = [segment for segment in segments if segment.first_sequence <= report.state.last_seq]
    if not begun or begun[-1].timeline != timeline or begun[-1].first_position > position + 1:
        return None
    return min(position + 1 + begun[-1].offset, report.state.last_seq + 1)


async def report_on(connection: ClientConnection, stream: str) -> StreamReport:
    """The state of a stream.

    Raises:
        FeedLostError: there is no such stream, or no answer.
    """
    return decode_report(await ask_jetstream(connection, f"STREAM.INFO.{stream}"))


async def ask_jetstream(connection: ClientConnection, verb: str, request: Any = None) -> bytes:
    """JetStream's answer to a request.

    Raises:
        FeedLostError: there is no answer, or JetStream refuses.
    """
    body = b"" if request is None else encode(request)
    try:
        answer = await connection.ask(f"$JS.API.{verb}", body, within_seconds=2.0)
    except (Unreachable, ClosedError) as error:
        raise FeedLostError(str(error)) from error
    refused = error_in(answer)
    if refused is not None:
        raise FeedLostError(f"JetStream refuses {verb}: {refused.description}")
    return answer
