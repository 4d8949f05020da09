"""`last_in_common`: where a file and a log part, after a leader took over without all that the file has."""

from bus.log.chain import Head
from bus.replication.frame import Frame, FrameError, Frames
from bus.replication.history import History
from bus.replication.log_stream import DivergedLogError, GapError, LaterTimelineError, LogEnd, LogStream


async def last_in_common(log: LogStream, file: History, head: Head) -> Head | None:
    """A place up to which a file shares all with a log of a later timeline; None if the log leads on from it.

    The log has all that the file should have after that place. The file ends with `head`.

    It is None, too, if they differ in another way, or the log has a message that is no frame: a follower
    reports that itself.

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
                    # The place before this frame: it is applied again, and so are frames with answers alone
                    # that follow it.
                    common = frame.before
    return common


async def _first_frame(log: LogStream, sequence: int, end: LogEnd) -> Frame | None:
    """The first whole frame at a sequence or after it."""
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
