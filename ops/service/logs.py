"""The format of log lines: keys and values, for people or as JSON, and never the content of a command.

Modules log with the standard library, and pass values with a key of their own as `extra`: incident, command,
correlation id. This module decides for all of them what is left out:

- the message of an exception, unless it is known to quote no input;
- local variables, which tracebacks by structlog or rich would show;
- control characters, which are escaped, so that no input can look like a log line.
"""

import logging
import sys
import traceback
from collections.abc import Iterator
from typing import IO, Any

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

from ops.settings import LogFormat

# The keys of `extra` that are logged; other keys come from libraries.
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
# Messages of these may quote input, as in "invalid literal for int() with base 10: '4111 1111…'".
_QUOTING = (ValueError, LookupError, TypeError, AttributeError)
# How many exceptions of a chain are logged, the last ones.
_MAXIMUM_CHAIN = 5


def configure_logging(level: str, form: LogFormat, stream: IO[str] | None = None) -> None:
    """Writes all logging of this process as lines to a stream, by default to stderr."""
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
    """The frames and types of an exception and its causes, with messages only if they quote no input."""
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
            # `traceback_of` has made the traceback a text already.
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
