"""`hyperpage new-aggregate`: writes a package with a new aggregate, as a beginning; needs no service."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ops.cli.terminal.exits import usage_failure
from ops.cli.terminal.options import DataOption, JsonOption, option
from ops.cli.terminal.output import print_result


def new_aggregate(
    name: Annotated[str, Parameter(name="NAME", help="The name of one aggregate: basket.")],
    /,
    *,
    out: Annotated[
        Path | None, option("The folder, empty or to be made. Default: ./ and the table's name.")
    ] = None,
    table: Annotated[str | None, option("The name of the table. Default: the plural, baskets.")] = None,
    library: Annotated[bool, option("As a class of the library eventsourcing, not as a decider.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Writes a package with a working aggregate and its tests, for you to change into your own.

    For example:

        hyperpage new-aggregate basket
        hyperpage new-aggregate order_line --library --out shop

    docs/your-own-aggregates.md goes on from there. No existing file is
    overwritten.
    """
    from ops.authoring.error import AuthoringError
    from ops.authoring.names import names_for
    from ops.authoring.packages import write_package

    try:
        names = names_for(name, table)
        folder = Path(names.table) if out is None else out
        written = write_package(names, folder, "library" if library else "decider")
    except AuthoringError as error:
        raise usage_failure(error.message, error.hint) from error
    result = {"folder": str(folder), "table": names.table, "files": [str(path) for path in written]}
    print_result(result, as_json, _print)


def _print(result: dict[str, Any]) -> None:
    print(f"The table {result['table']}, in {result['folder']}:")
    for path in result["files"]:
        print(f"  {path}")
    print("Its README.md says how it is tried out, tested and served.")
