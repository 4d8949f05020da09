"""`hyperpage analytics diff`."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from ops.cli.analytics.export import export_to
from ops.cli.analytics.lake import LakeOption, TimeZoneOption, lake_folder
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import DataOption, JsonOption
from ops.cli.terminal.output import compact, print_result, printable, say

# Columns that change with every event of a row, and so are left out for people.
NOISE = frozenset({"version", "position", "created_position", "updated_at", "persisted_at", "last_updated"})
_TIMES = re.compile(r".*_at|reset_time|throttled_until")

if TYPE_CHECKING:
    from ops.analytics.asking.difference import Difference


def diff(
    first: Annotated[str, Parameter(help="A backup's name, a position, or a time.")],
    second: Annotated[str, Parameter(help="The other moment, written likewise.")],
    /,
    *,
    table: Annotated[
        tuple[str, ...] | None, Parameter(help="Only this table; may be given again for another one.")
    ] = None,
    time_zone: TimeZoneOption = None,
    lake: LakeOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shows the rows that were added, removed or changed between two moments, with old and new values.

    For example:

        hyperpage analytics diff 41000 41872
        hyperpage analytics diff 41000 41872 --table tool_configs
        hyperpage analytics diff 2026-11-24T08:00:00Z 2026-11-24T09:00:00Z
        hyperpage analytics diff hyperpage-backup-20261124T081500000Z.db 41872

    The output for people shows times as dates, only the differing keys of a
    configuration or a payload, and no columns that change with every event,
    such as `version` and `position`. --json shows everything as it is.

    If there is no lake in DIR/lake, and none is named, the command makes a
    temporary one.
    """
    from ops.analytics.asking.difference import difference
    from ops.analytics.lake.times import zone_of

    with understandable(), _lake_at_hand(lake, data) as at_hand:
        found = difference(at_hand, first, second, tables=table, time_zone=time_zone)
        zone = zone_of(time_zone or "UTC")
    print_result(found, as_json, lambda one: _print(one, zone))


@contextmanager
def _lake_at_hand(lake: Path | None, data: Path | None) -> Iterator[Path]:
    """The named lake, or that of the data directory, or a temporary one for the length of the block."""
    from ops.analytics.lake.manifest import MANIFEST

    found = lake_folder(lake, data)
    if lake is not None or (found / MANIFEST).exists():
        yield found
        return
    with tempfile.TemporaryDirectory(prefix="hyperpage-lake-") as folder:
        report = export_to("all", Path(folder) / "lake", data)
        for one in report.refused:
            say(f"{one.name} is left out: {one.message}")
        yield Path(folder) / "lake"


def _print(found: "Mapping[str, Difference]", zone: tzinfo) -> None:
    for table, one in found.items():
        for line in _lines_of(table, one, zone):
            print(printable(line))
    if not any(one.added or one.removed or one.changed for one in found.values()):
        say("Nothing has changed.")


def _lines_of(table: str, one: "Difference", zone: tzinfo) -> Iterator[str]:
    counts = [(len(rows), what) for rows, what in ((one.added, "added"), (one.removed, "removed"))]
    counts.append((len(one.changed), "changed"))
    if said := ", ".join(f"{count} {what}" for count, what in counts if count):
        yield f"{table}: {said}"
    for sign, rows in (("+", one.added), ("-", one.removed)):
        for row in rows:
            yield f"  {sign} {next(iter(row.values()))}  {compact(_told(row, zone))}"
    for each in one.changed:
        columns = [name for name in each.columns if name not in NOISE] or each.columns
        values = [
            said
            for name in columns
            for said in _changes(name, *(_readable(name, side[name], zone) for side in (each.old, each.new)))
        ]
        yield f"  ~ {each.key}  {', '.join(values)}"


def _changes(name: str, old: Any, new: Any) -> Iterator[str]:
    """A changed value, old and new, as text; objects are compared key by key."""
    if isinstance(old, dict) and isinstance(new, dict) and old != new:
        for key in {**old, **new}:
            if key not in old:
                yield f"{name}.{key}: new, {compact(new[key])}"
            elif key not in new:
                yield f"{name}.{key}: gone, {compact(old[key])}"
            elif old[key] != new[key]:
                yield from _changes(f"{name}.{key}", old[key], new[key])
    else:
        yield f"{name}: {compact(old)} → {compact(new)}"


def _told(row: dict[str, Any], zone: tzinfo) -> dict[str, Any]:
    """The columns that have a value, without the first one and those of `NOISE`."""
    columns = list(row.items())[1:]
    return {
        name: _readable(name, value, zone)
        for name, value in columns
        if value is not None and name not in NOISE
    }


def _readable(name: str, value: Any, zone: tzinfo) -> Any:
    """A value in a form for people: a time in the zone, or JSON as its decoded value."""
    if isinstance(value, int) and _TIMES.fullmatch(name):
        try:
            return datetime.fromtimestamp(value / 1000, zone).isoformat(timespec="milliseconds")
        except (ValueError, OverflowError, OSError):
            return value
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return value
