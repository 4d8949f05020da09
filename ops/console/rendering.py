"""The templates of pages, and the filters that write times, sizes and JSON in them."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
import msgspec
from markupsafe import Markup

from domain.jobs.limits import BACKOFF_JITTER
from domain.jobs.retries import JobRetry
from domain.messages import split_stream
from ops.http.access.sessions import CSRF_FIELD
from projections.jobs.board import TRACEBACK
from projections.tables import TABLES

PREFIX = "/console"
# How much of a JSON value a page shows: more would keep a browser busy.
MAXIMUM_JSON_CHARACTERS = 256 * 1024
MAXIMUM_LINE_CHARACTERS = 160
MAXIMUM_HEADLINE_CHARACTERS = 300
# Fields that are times, or lengths of time in milliseconds, beside those found by the ends of their names.
_TIMES = frozenset({"until", "reset_time", "last_updated"})
_LENGTHS = frozenset({"refresh_interval"})

# How many of a job's retry delays a line shows.
_FEW_DELAYS = 5
_PARTS_OF_NAME = re.compile(r"(?<=[._/:@])(?!$)")
_CODE = re.compile(r"`([^`]+)`")
_SECOND, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000
_UNITS = (("d", _DAY), ("h", _HOUR), ("min", _MINUTE), ("s", _SECOND))


@cache
def environment() -> jinja2.Environment:
    """The templates. All values are escaped, and an unknown name is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("ops.console"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Each template is read once, for the first page that uses it.
        auto_reload=False,
    )
    made.filters |= {
        "ago": ago,
        "amount": amount,
        "breakable": breakable,
        "clock": clock,
        "compact": compact,
        "counted": counted,
        "duration": duration,
        "headline": headline,
        "meant": meant,
        "moment": moment,
        "pretty": pretty,
        "segment": segment,
        "shortened": shortened,
        "size": size,
        "stream_link": stream_link,
        "tried_again": tried_again,
        "with_code": with_code,
        "words": words,
    }
    made.globals |= {"with_parameters": with_parameters, "prefix": PREFIX, "csrf_field": CSRF_FIELD}
    return made


def breakable(name: str) -> Markup:
    """A name in which a line may break after each dot, underscore, slash, colon and at sign.

    Browsers do not break there by themselves, and would break a long name inside a word.
    """
    return Markup("<wbr>").join(_PARTS_OF_NAME.split(name))


def with_code(text: str) -> Markup:
    """A text in which the parts between backticks are marked as code."""
    parts = _CODE.split(text)
    parts[1::2] = [Markup("<code>{}</code>").format(part) for part in parts[1::2]]
    return Markup("").join(parts)


def amount(number: float | None) -> str:
    """A number with its thousands separated; a dash for `None`."""
    if number is None:
        return "–"
    if isinstance(number, int) or abs(number) >= 100:
        return f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    # A small number is not rounded to 0.
    return f"{number:.1f}" if number == 0 or abs(number) >= 0.05 else f"{number:.1g}"


def counted(number: int, noun: str) -> str:
    """A number and a noun, in the plural unless the number is 1."""
    return f"{amount(number)} {noun}" + ("" if number == 1 else "s")


def size(size_bytes: float | None) -> str:
    """A size in bytes, in the unit that suits it."""
    if size_bytes is None:
        return "–"
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "bytes" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"


def duration(length_ms: float | None) -> str:
    """A length of time in milliseconds, in one or two units."""
    if length_ms is None:
        return "–"
    if length_ms < _SECOND:
        return f"{length_ms:.0f} ms"
    if length_ms < _MINUTE:
        return f"{length_ms / _SECOND:.1f} s"
    whole = round(length_ms)
    (unit, large), (smaller, small) = next(pair for pair in pairwise(_UNITS) if whole >= pair[0][1])
    rest = whole % large // small
    return f"{whole // large} {unit}" + (f" {rest} {smaller}" if rest else "")


def tried_again(policy: Mapping[str, Any]) -> str:
    """When a job with this policy is tried again, in a line."""
    said = msgspec.convert(policy, JobRetry)
    if said.delays_ms:
        delays = [duration(delay) for delay in said.delays_ms[:_FEW_DELAYS]]
        more = len(said.delays_ms) - len(delays)
        words = f"after {', '.join(delays)}" + (f" and {more} more" if more else "")
    else:
        words = f"after {duration(said.base_ms)}, then {said.factor:g} times as long each time"
        words += f", {duration(said.cap_ms)} at most"
    jitter = (0 if said.delays_ms else BACKOFF_JITTER) if said.jitter is None else said.jitter
    words += f"; {jitter:.0%} of it by chance" if jitter else ""
    return words + ("; a lost worker costs an attempt" if said.crashes_count else "")


def moment(time_ms: int | None) -> Markup:
    """A time in milliseconds since the epoch, in UTC; a dash for `None`."""
    if time_ms is None:
        return Markup("–")
    at = _datetime(time_ms)
    return Markup('<time datetime="{}">{}</time>').format(
        at.isoformat(timespec="milliseconds"), f"{at:%Y-%m-%d %H:%M:%S}"
    )


def clock(time_ms: int) -> Markup:
    """The time of day to the millisecond; the title has the date."""
    at = _datetime(time_ms)
    text = f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(timespec="milliseconds"), f"{at:%Y-%m-%d %H:%M:%S} UTC", text
    )


def milliseconds(written: str) -> int:
    """Milliseconds since the epoch of a time in ISO 8601, which is in UTC unless it names a zone.

    Raises:
        ValueError: the text is no time.
    """
    time = datetime.fromisoformat(written)
    return round(time.replace(tzinfo=time.tzinfo or UTC).timestamp() * 1_000)


def ago(time_ms: int | None, now_ms: int) -> Markup:
    """How long ago a time was, or how far in the future it is; a dash for `None`."""
    if time_ms is None:
        return Markup("–")
    at = _datetime(time_ms)
    length_ms = abs(now_ms - time_ms)
    if length_ms < _SECOND:
        text = "now"
    else:
        distance = next(f"{length_ms // unit_ms} {unit}" for unit, unit_ms in _UNITS if length_ms >= unit_ms)
        text = f"{distance} ago" if time_ms < now_ms else f"in {distance}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(timespec="milliseconds"), f"{at:%Y-%m-%d %H:%M:%S} UTC", text
    )


def pretty(value: Any) -> str:
    """A value as indented JSON."""
    return shortened(json.dumps(value, indent=2, ensure_ascii=False))


def shortened(text: str) -> str:
    """A text, or as much of it as a page shows."""
    if len(text) > MAXIMUM_JSON_CHARACTERS:
        return f"{text[:MAXIMUM_JSON_CHARACTERS]}\n… {len(text) - MAXIMUM_JSON_CHARACTERS} characters more"
    return text


def headline(text: str) -> str:
    """The main line of an error's text: the last one of a Python traceback, otherwise the first."""
    written = [line for line in text.splitlines() if line.strip()] or [""]
    line = written[-1 if text.startswith(TRACEBACK) else 0].strip()
    return line if len(line) <= MAXIMUM_HEADLINE_CHARACTERS else f"{line[: MAXIMUM_HEADLINE_CHARACTERS - 1]}…"


def meant(value: Any, name: str) -> Any:
    """A time as `{"at": …}`, a length of time as `{"length_ms": …}`, and any other value as it is.

    The name of the field tells which of them a number is.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if is_time(name):
        return {"at": value}
    return {"length_ms": value} if name in _LENGTHS or name.endswith("_ms") else value


def is_time(name: str) -> bool:
    """Whether a number in a field of this name is a time."""
    return name in _TIMES or name.endswith(("_at", "_until"))


def words(name: str) -> str:
    """The name of a table, a verb or a field, for people."""
    return name.replace("_", " ").strip().capitalize()


def compact(value: Any) -> str:
    """The beginning of a value as JSON in one line."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAXIMUM_LINE_CHARACTERS else f"{text[: MAXIMUM_LINE_CHARACTERS - 1]}…"


def segment(text: str) -> str:
    """A key as one segment of a path."""
    return quote(text, safe="")


def stream_link(stream: str) -> str:
    """The address of the page with a stream's row, or with its events if its table has no pages."""
    table, key = split_stream(stream)
    if table in TABLES:
        return f"{PREFIX}/{table}/{segment(key)}"
    return f"{PREFIX}/events?{urlencode({'stream': stream})}"


def with_parameters(path: str, given: Mapping[str, Any], **changed: Any) -> str:
    """An address of a page, with the parameters `given` and `changed`, without empty ones."""
    said = {name: value for name, value in {**given, **changed}.items() if value not in (None, "")}
    return f"{path}?{urlencode(said)}" if said else path


def _datetime(time_ms: int) -> datetime:
    # A time beyond the calendar is shown as the calendar's end.
    return datetime.fromtimestamp(min(max(time_ms, -62_135_596_800_000), 253_402_300_799_999) / 1_000, UTC)
