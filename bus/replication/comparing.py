"""Where a file and a log go apart since a leader took over without what the file has: `last_in_common`."""

from bus.log.chain import Head
from bus.replication.frame import Frame, FrameError, Frames
from bus.replication.history import History
from bus.replication.log_stream import DivergedLogError, GapError, LaterTimelineError, LogEnd, LogStream


async def last_in_common(log: LogStream, file: History, head: Head) -> Head | None:
    """Where a file shares all with a log of a later timeline, or before; None where the log leads on from it.

    What the file should have behind that, the log has. The file ends with `head`.

    Where they differ in another way, or the log has what is no frame, this is not said: who follows it tells.

    Raises:
        LogStreamError: the log is another store's, or gone. JetStreamError: it cannot be read.
    """
    try:
        return await _last_in_common(log, file, head)
    except FrameError:
        return None


async def _last_in_common(log: LogStream, file: History, head: Head) -> Head | None:
    end = await log.end()
    position = min(head.position, end.position)
    if (sequence := await log.first_reaching(position, end)) is None:
        return None
    if (frame := await _first_frame(log, sequence, end)) is None or _goes_with(file, head, frame):
        return None
    common: Head | None = None
    sequence = end.first
    frames = Frames(log.name)
    while sequence <= end.sequence:
        for message in await log.read(sequence):
            sequence = message.sequence + 1
            if (frame := frames.take(message)) is not None:
                if not _goes_with(file, head, frame):
                    return common or frame.before
                if frame.rows:
                    # All of it comes again, answers that changed nothing among them.
                    common = frame.before
    return common


async def _first_frame(log: LogStream, sequence: int, end: LogEnd) -> Frame | None:
    """The first whole frame from a message on."""
    frames = Frames(log.name)
    while sequence <= end.sequence:
        for message in await log.read(sequence):
            sequence = message.sequence + 1
            if (frame := frames.take(message)) is not None:
                return frame
    return None


def _goes_with(file: History, head: Head, frame: Frame) -> bool:
    try:
        file.require_following(head, file.origin.timelines, frame)
    except LaterTimelineError:
        return False
    except (DivergedLogError, GapError):
        pass
    return True
