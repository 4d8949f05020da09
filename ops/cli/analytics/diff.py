"""`hyperpage analytics diff`."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ops.cli.analytics.export import export_to
from ops.cli.analytics.lake import LakeOption, TimeZoneOption, lake_folder
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import DataOption, JsonOption
from ops.cli.terminal.output import compact, print_result, printable, say

# Columns that change with every event of a row.
NOISE = frozenset({"version", "position", "created_position", "updated_at", "persisted_at", "last_updated"})

if TYPE_CHECKING:
    from ops.analytics.asking.difference import Difference


def diff(
    first: Annotated[str, Parameter(help="A backup's name, a position, or a time.")],
    second: Annotated[str, Parameter(help="The same.")],
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
    """Says what became of each row between two moments: added, removed, changed, with old and new values.

    For example:

        hyperpage analytics diff 41000 41872
        hyperpage analytics diff 41000 41872 --table tool_configs
        hyperpage analytics diff 2026-11-24T08:00:00Z 2026-11-24T09:00:00Z
        hyperpage analytics diff hyperpage-backup-20261124T081500000Z.db 41872

    For people, `version`, `position` and the like are left out, which change
    whenever anything does; --json has them.

    Where there is no lake in DIR/lake, and none is named, one is made for the
    length of the command.
    """
    from ops.analytics.asking.difference import difference

    with understandable(bucket_hint=""), _lake_at_hand(lake, data) as at_hand:
        found = difference(at_hand, first, second, tables=table, time_zone=time_zone)
    print_result(found, as_json, _print)


@contextmanager
def _lake_at_hand(lake: Path | None, data: Path | None) -> Iterator[Path]:
    """The lake that is named, or that of the data directory, or one for the length of the block."""
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


def _print(found: "Mapping[str, Difference]") -> None:
    for table, one in found.items():
        for line in _lines_of(table, one):
            print(printable(line))
    if not any(one.added or one.removed or one.changed for one in found.values()):
        say("Nothing has changed.")


def _lines_of(table: str, one: "Difference") -> Iterator[str]:
    counts = [(len(rows), what) for rows, what in ((one.added, "added"), (one.removed, "removed"))]
    counts.append((len(one.changed), "changed"))
    if said := ", ".join(f"{count} {what}" for count, what in counts if count):
        yield f"{table}: {said}"
    for sign, rows in (("+", one.added), ("-", one.removed)):
        for row in rows:
            yield f"  {sign} {next(iter(row.values()))}  {compact(_told(row))}"
    for each in one.changed:
        columns = [name for name in each.columns if name not in NOISE] or each.columns
        values = (f"{name}: {compact(each.old[name])} → {compact(each.new[name])}" for name in columns)
        yield f"  ~ {each.key}  {', '.join(values)}"


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """The columns that have a value and say something, without the first."""
    columns = list(row.items())[1:]
    return {name: value for name, value in columns if value is not None and name not in NOISE}
