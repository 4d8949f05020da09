"""Tracebacks of handlers that failed, for the log and for the report of an attempt."""

import traceback
from types import TracebackType

# The longest traceback that `fail` takes.
MAXIMUM_TRACEBACK_CHARACTERS = 10_000
_OURS = __name__.partition(".")[0]
# How much of the beginning of a long traceback is kept; the rest is its end, where the exception was raised.
_KEPT_OF_BEGINNING = MAXIMUM_TRACEBACK_CHARACTERS // 4
_KEPT_OF_END = MAXIMUM_TRACEBACK_CHARACTERS - _KEPT_OF_BEGINNING - 100


def frames_of(error: BaseException) -> TracebackType | None:
    """The frames that an exception went through, from the handler on, without those of the worker."""
    frames = error.__traceback__
    while frames is not None and _is_ours(frames):
        frames = frames.tb_next
    return frames


def traceback_of(error: BaseException) -> str | None:
    """The traceback of an exception and of those that led to it, as Python writes them, without any values.

    Of one that is longer than the service takes, the middle is left out, and the text says so. None where
    Python cannot write it, as of an exception whose own parts raise.
    """
    try:
        text = "".join(traceback.format_exception(type(error), error, frames_of(error))).rstrip("\n")
    except Exception:
        return None
    # A lone surrogate (half a pair of UTF-16) cannot be sent.
    text = text.encode("utf-8", "replace").decode()
    if len(text) <= MAXIMUM_TRACEBACK_CHARACTERS:
        return text
    beginning, end = text[:_KEPT_OF_BEGINNING], text[-_KEPT_OF_END:]
    left_out = len(text) - len(beginning) - len(end)
    return f"{beginning}\n\n… {left_out} characters are left out here …\n\n{end}"


def can_be_logged(error: BaseException) -> bool:
    """Whether the traceback of an exception can be written in UTF-8, which has no lone surrogates."""
    try:
        "".join(traceback.format_exception(error)).encode()
    except Exception:
        return False
    return True


def _is_ours(frames: TracebackType) -> bool:
    package = frames.tb_frame.f_globals.get("__package__") or ""
    return str(package).partition(".")[0] == _OURS
