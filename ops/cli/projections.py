"""`hyperpage projections`: compares the tables with the log, and rebuilds rows that differ."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cyclopts import App

from domain.counting import counted
from ops.cli.asking import administer
from ops.cli.stopped import stopped_store
from ops.cli.terminal.exits import Exit
from ops.cli.terminal.options import DataOption, JsonOption, settings_for
from ops.cli.terminal.output import compact, print_result, print_table
from ops.cli.terminal.recording import recorded

# The time to wait for a verification. It reads the whole log: a million events take some tens of seconds.
CHECK_SECONDS = 3_600.0


def projections() -> App:
    """The commands that compare the tables with the log."""
    app = App(name="projections", help="Compares the tables with the log, and rebuilds what differs.")
    app.command(verify)
    app.command(rebuild)
    return app


def verify(*, data: DataOption = None, as_json: JsonOption = False) -> int:
    """Compares every row of every table with the events; nothing is changed.

    For example:

        hyperpage projections verify

    Works on a running service, and on the file of a stopped one. Exits with 6
    on any difference.
    """
    report = _check("verify", data)
    print_result(report, as_json, _print_check)
    return Exit.DONE if report["equal"] else Exit.VERIFICATION_FAILED


def rebuild(*, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Compares as `verify` does, and writes differing rows anew from the events.

    For example:

        hyperpage projections rebuild

    The report has the differences that were found; afterwards there are none.
    Works on a running service, and on the file of a stopped one.
    """
    report = _check("rebuild", data)
    print_result(report, as_json, _print_rebuild)


def _check(verb: str, data: Path | None) -> dict[str, Any]:
    from ops.store import projections_check

    with stopped_store(data) as path:
        if path is None:
            return administer(f"projections.{verb}", {}, data, timeout_seconds=CHECK_SECONDS)
        if verb == "verify":
            return projections_check.verify(path)
        with recorded(settings_for(data), "projections.rebuild", {}) as said:
            report = projections_check.rebuild_file(path)
            said["rebuilt_streams"] = report["rebuilt_streams"]
            return report


def _print_check(report: Mapping[str, Any]) -> None:
    print_table(
        [
            {"table": name, **{kind: found[kind] for kind in ("rows", "missing", "unexpected", "different")}}
            for name, found in report["tables"].items()
        ]
    )
    for name, found in report["tables"].items():
        for example in found["examples"]:
            print(f"{name} {compact(example['key'])}: {_difference(name, example)}")
    verdict = "The tables equal the log" if report["equal"] else "The tables differ from the log"
    print(f"{verdict} at position {report['position']}.")
    if left_out := report.get("left_out"):
        print(f"Left out, since the next start of the service makes them anew: {', '.join(left_out)}.")


def _print_rebuild(report: Mapping[str, Any]) -> None:
    _print_check(report)
    print(f"Rebuilt: {counted(report['rebuilt_streams'], 'stream')}.")


def _difference(table: str, example: Mapping[str, Any]) -> str:
    from projections.tables import TABLE_COLUMNS

    expected, found = example["expected"], example["found"]
    if expected is None or found is None:
        return "the row should not be there" if expected is None else "the row is missing"
    return "; ".join(
        f"{column} is {compact(is_there)} instead of {compact(should_be)}"
        for column, should_be, is_there in zip(TABLE_COLUMNS[table], expected, found, strict=True)
        if should_be != is_there
    )
