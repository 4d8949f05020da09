"""`hyperpage analytics database`."""

from pathlib import Path
from typing import Annotated

from ops.cli.analytics.lake import LakeOption, SnapshotOption, lake_folder
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import DataOption, JsonOption, option
from ops.cli.terminal.output import print_result


def database(
    *,
    out: Annotated[Path, option("The file to write.")],
    lake: LakeOption = None,
    snapshot: SnapshotOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Writes what a lake shows into one DuckDB file to hand around: rows, views and macros.

    For example:

        hyperpage analytics database --out november.duckdb

    Whoever has DuckDB opens it, without the lake and without this program.
    """
    from ops.analytics.lake.database import write_database

    with understandable():
        write_database(lake_folder(lake, data), out, snapshot=snapshot)
    print_result({"database": str(out), "size_bytes": out.stat().st_size}, as_json, str(out))
