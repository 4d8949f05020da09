"""How log lines look: keys and values, for people or as JSON, and never what a command brought.

Modules log with the standard library, and hand over what has a key of its own as `extra`: incident, command,
correlation id. What is left out is decided here, for all of them:

- of an exception, the message is kept only where it is known to quote no data;
- no local variables, which a traceback of structlog's or rich's own would show;
- control characters are escaped, so that nothing that somebody sent can look like a line of ours.
"""

import logging
import sys
import traceback
from collections.abc import Iterator
from typing import IO, Any

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

from ops.settings import LogFormat

# Beside these, a record has nothing of its own: other keys of `extra` are libraries'.
KEYS = (
    "act",
    "cause",
    "command",
    "command_id",
    "correlation_id",
    "incident",
    "method",
    "path",
    "query",
    "subject",
)
# "invalid literal for int() with base 10: '4111 1111…'": what these say may quote what they were given.
_QUOTING = (ValueError, LookupError, TypeError, AttributeError)
# How many exceptions of a chain are logged, the last ones.
_MAXIMUM_CHAIN = 5


def configure_logging(level: str, form: LogFormat, stream: IO[str] | None = None) -> None:
    """Has everything that is logged in this process written as lines, by default to stderr."""
    stream = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(allow=KEYS),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(traceback_of),
                *_rendered(form, stream),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)


def traceback_of(exc_info: ExcInfo) -> str:
    """Where an exception came from, and which; without what it may quote."""
    parts = []
    for error in _chain(exc_info[1]):
        # The frames show code, never values.
        frames = "".join(traceback.format_tb(error.__traceback__))
        parts.append(f"{frames}{type(error).__qualname__}: {_message_of(error)}")
    return "\nled to\n".join(parts)


def _rendered(form: LogFormat, stream: IO[str]) -> list[Processor]:
    if form == "json":
        return [structlog.processors.JSONRenderer(ensure_ascii=False)]
    return [
        _escape,
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(),
            # The traceback of our own loggers is text already.
            exception_formatter=structlog.dev.plain_traceback,
            pad_event_to=0,
        ),
    ]


def _escape(_: Any, __: str, event: EventDict) -> EventDict:
    return {
        name: value if name == "exception" or not isinstance(value, str) else _printable(value)
        for name, value in event.items()
    }


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _chain(error: BaseException) -> Iterator[BaseException]:
    chain = [error]
    while len(chain) < _MAXIMUM_CHAIN:
        last = chain[-1]
        before = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if before is None:
            break
        chain.append(before)
    return reversed(chain)


def _message_of(error: BaseException) -> str:
    if isinstance(error, _QUOTING):
        return "(what it says is left out: it may quote what was sent)"
    return _printable(str(error))
