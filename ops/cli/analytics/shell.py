"""`hyperpage analytics shell`."""

from ops.cli.analytics.lake import LakeOption, SnapshotOption, lake_folder
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import DataOption


def shell(*, lake: LakeOption = None, snapshot: SnapshotOption = None, data: DataOption = None) -> int:
    """Opens a prompt for SQL over a lake; DuckDB's own, if the program `duckdb` is installed.

    For example:

        hyperpage analytics shell

    What is made there is in memory: the lake stays as it is.
    """
    from ops.cli.analytics.prompt import run_shell

    with understandable():
        return run_shell(lake_folder(lake, data), snapshot=snapshot)
