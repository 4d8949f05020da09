"""A follower's side of the log: frames in order, from where a file ends to where the log does."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from bus.log import chain
from bus.replication.applying import TRANSACTION_EVENTS, Applier
from bus.replication.frame import Frame, Frames
from bus.replication.log_stream import LogEnd, LogStream
from bus.tasks import to_its_end
from bus.transport.jetstream import JetStreamError
from bus.transport.jetstream_answers import StoredMessage

# A replica may be late; what the log's leader has is there within this time, or something is wrong.
LATE_SECONDS = 10.0
LATE_PAUSE_SECONDS = 0.02

logger = logging.getLogger(__name__)


async def catch_up(log: LogStream, applier: Applier) -> LogEnd:
    """Where the log ended, with everything up to there applied.

    Raises:
        LogStreamError, FrameError: the log does not lead on from the file's end, or cannot be read.
        JetStreamError: the broker does not answer, or lacks what it should have.
    """
    end = await log.end()
    sequence = await log.first_reaching(applier.head.position, end)
    frames = Frames(log.name)
    until = time.monotonic() + LATE_SECONDS
    while sequence is not None and sequence <= end.sequence:
        messages = [one for one in await log.read(sequence) if one.sequence <= end.sequence]
        if messages:
            await apply(applier, frames, messages)
            sequence = messages[-1].sequence + 1
            until = time.monotonic() + LATE_SECONDS
        elif time.monotonic() > until:
            raise JetStreamError(
                f"message {sequence} of {log.name} cannot be had, and it ends at {end.sequence}"
            )
        else:
            await asyncio.sleep(LATE_PAUSE_SECONDS)
    return end


async def apply(
    applier: Applier,
    frames: Frames,
    messages: Sequence[StoredMessage],
    on_applied: Callable[[list[chain.Row]], None] | None = None,
) -> None:
    """Applies the frames that these messages bring to an end, several in one transaction.

    Raises:
        LogStreamError, FrameError: as `Applier.apply` and `Frames.take` do; what came before is applied.
        apsw.Error: the file cannot be written.
    """
    waiting: list[Frame] = []
    events = 0

    async def carry_out() -> None:
        nonlocal events
        if waiting:
            together = tuple(waiting)
            waiting.clear()
            events = 0
            rows = await to_its_end(lambda: applier.apply(together))
            if on_applied is not None and rows:
                on_applied(rows)

    try:
        for message in messages:
            frame = frames.take(message)
            if frame is not None:
                waiting.append(frame)
                events += len(frame.rows)
            if events >= TRANSACTION_EVENTS:
                await carry_out()
    finally:
        await carry_out()
