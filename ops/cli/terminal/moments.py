"""Times, as they are written on a command line: `milliseconds`."""

from datetime import datetime

from ops.cli.terminal.exits import usage_failure


def milliseconds(text: str) -> int:
    """The milliseconds since the epoch of a time that is written so, or as 2026-11-24T08:15:00Z.

    Raises:
        CommandFailure: the text is no time, or has no time zone.
    """
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise usage_failure(f"{text!r} is no moment", "write it as 2026-11-24T08:15:00Z") from None
    if moment.tzinfo is None:
        raise usage_failure(f"{text!r} has no time zone", "add Z for UTC, or an offset as in +02:00")
    return round(moment.timestamp() * 1000)
