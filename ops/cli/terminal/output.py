"""Output of results and progress: JSON for programs; lines, lists and aligned tables for people.

Stored values may have any characters, so they are escaped for the terminal: a control character in a job's
name could otherwise move the cursor, or overwrite earlier output.
"""

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec

from ops.progress import Progress, ignore_progress

# In a table, a longer value is cut; `--json` shows it whole.
LONGEST_CELL = 48
# Columns of milliseconds since the epoch, which are shown as times.
_MOMENTS = frozenset({"reset_time", "last_updated", "throttled_until", "lease_expires_at"})
# Times from 2001 to 2286; any other number in such a column is not a time.
_PLAUSIBLE_MILLISECONDS = range(10**12, 10**13)

Record = Mapping[str, Any]


def print_result(
    value: Any, as_json: bool, for_people: str | Callable[[Any], None], *, note: str = ""
) -> None:
    """Prints the result of a command: the value as JSON, or `for_people`.

    `for_people` is a line (with a note on stderr), or a function that prints the value. A value of bytes is
    JSON already, and is decoded for that function.
    """
    if as_json:
        print_json(value)
    elif isinstance(for_people, str):
        print(for_people)
        if note:
            say(note)
    else:
        for_people(msgspec.json.decode(value) if isinstance(value, bytes) else value)


def print_json(value: Any) -> None:
    """Prints a JSON value on one line; bytes are JSON already, and are printed as they are."""
    encoded = value if isinstance(value, bytes) else msgspec.json.encode(value)
    print(encoded.decode())


def say(text: str) -> None:
    """Prints a line on stderr, for the person at the terminal."""
    print(text, file=sys.stderr)


def print_value(value: Any) -> None:
    """Prints any answer of the service for people."""
    match value:
        case {"items": [*items], **rest}:
            print_records(items)
            if rest.get("next") is not None:
                say(f'There is more: ask again with "after": {compact(rest["next"])}')
        case {"jobs": [*items]}:
            # After a claim by hand, the lease is needed next; in the row's own order it would come last.
            print_records([{"id": item.get("id"), "lease": item.get("lease"), **item} for item in items])
        case dict():
            print_members(value)
        case [*items] if all(isinstance(item, dict) for item in items):
            print_records(items)
        case _:
            print(compact(value))


def print_records(records: Sequence[Record], *, if_none: str = "None.") -> None:
    """Prints events as lines, and other records as a table."""
    if not records:
        say(if_none)
    elif all("specversion" in record for record in records):
        for record in records:
            print(event_line(record))
    else:
        print_table(records)


def print_members(record: Record) -> None:
    """Prints aligned `name  value` lines; members of an inner object and lines of a text are indented."""
    for line in _member_lines(record):
        print(line)


def print_table(records: Sequence[Record], *, empty_columns: bool = False) -> None:
    """Prints aligned columns, in the order in which the records name them.

    Empty columns are left out, unless `empty_columns` is set; on a terminal, also columns that do not fit.
    """
    names = list(dict.fromkeys(name for record in records for name in record))
    if not empty_columns:
        names = [name for name in names if any(record.get(name) is not None for record in records)]
    columns = [
        [name.upper(), *(_shortened(_cell(name, record.get(name))) for record in records)] for name in names
    ]
    widths = [max(map(len, column)) for column in columns]
    shown = _columns_that_fit(widths)
    if shown < len(names) and len(records) == 1:
        # A single record is shown whole, with one column a line.
        print_members(records[0])
        return
    for cells in zip(*columns[:shown], strict=True):
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=False))
        print("  ".join(padded).rstrip())
    if shown < len(names):
        say(f"(not all columns fit here: {len(names) - shown} more with --json)")


def event_line(event: Record) -> str:
    """A change event on one line: position, time, type, stream, who, and its data."""
    time = f"{event['time'][:10]} {event['time'][11:19]}Z"
    change = str(event["type"]).removeprefix("hyperpage.")
    who = f"  by {event['actor']}" if "actor" in event else ""
    line = f"{event['sequence']:>6}  {time}  {change:<25}  {event['subject']}{who}  {compact(event['data'])}"
    return _fitted(printable(line))


def compact(value: Any) -> str:
    """A JSON value on one line."""
    return msgspec.json.encode(value).decode()


def size_text(size_bytes: int) -> str:
    """A size with the largest unit that fits, as in `12 MiB`."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def date_text(time_ms: int) -> str:
    """The day of a time, in UTC, as in `2026-11-29`."""
    return f"{datetime.fromtimestamp(time_ms // 1000, UTC):%Y-%m-%d}"


def minute_text(time_ms: int) -> str:
    """A time in UTC, as in `2026-11-29 08:15Z`."""
    return f"{datetime.fromtimestamp(time_ms // 1000, UTC):%Y-%m-%d %H:%MZ}"


def _member_lines(record: Record, indent: str = "") -> Iterable[str]:
    width = max(map(len, record), default=0)
    for name, value in record.items():
        if isinstance(value, dict) and value and not indent:
            yield f"{printable(name)}:"
            yield from _member_lines(value, "  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict) and not indent:
            yield f"{printable(name)}:"
            yield from (f"  {printable(compact(item))}" for item in value)
        elif isinstance(value, str) and "\n" in value and not indent:
            yield f"{printable(name)}:"
            yield from (f"  {printable(line)}".rstrip() for line in value.rstrip("\n").split("\n"))
        else:
            yield f"{indent}{printable(name).ljust(width)}  {_cell(name, value)}".rstrip()


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if _is_moment(name, value):
        return f"{datetime.fromtimestamp(value // 1000, UTC):%Y-%m-%d %H:%M:%S}Z"
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return printable(", ".join(value))
    return printable(compact(value))


def _is_moment(name: str, value: Any) -> bool:
    is_named_so = name.endswith("_at") or name in _MOMENTS
    return is_named_so and isinstance(value, int) and value in _PLAUSIBLE_MILLISECONDS


def printable(text: str) -> str:
    """A text whose control characters are escaped."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"


def _fitted(line: str) -> str:
    width = _terminal_width()
    return line if width is None or len(line) <= width else line[: width - 1] + "…"


def _columns_that_fit(widths: Sequence[int]) -> int:
    terminal = _terminal_width()
    if terminal is None:
        return len(widths)
    used = 0
    for index, width in enumerate(widths):
        used += width + (2 if index else 0)
        if used > terminal:
            # The first column is always shown: a table without columns says nothing.
            return max(1, index)
    return len(widths)


def _terminal_width() -> int | None:
    """The width of the terminal; `None` if the output goes elsewhere, where it is not cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


# Work that takes less time gets no progress bar.
PATIENCE_SECONDS = 1.0


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """A callback for the progress of the block, which is shown as bars on a terminal, and nowhere else."""
    if not sys.stderr.isatty():
        yield ignore_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:<12}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    began = time.monotonic()
    bars: dict[str, TaskID] = {}
    with Bars(*columns, console=Console(stderr=True), transient=True) as shown:

        def tell(what: str, done: int, total: int) -> None:
            if what not in bars:
                if time.monotonic() - began < PATIENCE_SECONDS:
                    return
                bars[what] = shown.add_task(what)
            shown.update(bars[what], completed=done, total=total or None)

        yield tell
