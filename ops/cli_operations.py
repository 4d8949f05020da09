"""`hyperpage status`, `projections` and `dlq`: what operators ask of a running service."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from ops.cli_bus import administrator_address, application_address, ask
from ops.cli_exit import CommandFailure, Exit, usage_failure
from ops.cli_options import DataOption, JsonOption, option
from ops.cli_output import compact, print_json, print_members, print_records, print_table, print_value, say

STATUS_SECONDS = 10.0
# A verification reads the whole log: a million events take some tens of seconds.
CHECK_SECONDS = 3_600.0
DEAD_LETTER_SECONDS = 60.0


def status(*, data: DataOption = None, as_json: JsonOption = False) -> int:
    """Tells how the running service is: healthy, degraded or unhealthy, and why.

    For example:

        hyperpage status
        hyperpage status --json --data /var/lib/hyperpage

    Exits with 0 when it is healthy, with 1 when it is degraded or unhealthy, with 5 when none runs.
    """
    try:
        address = application_address(data)
        question = ask(address, address.names.query("service.status"), b"", timeout=STATUS_SECONDS)
        answer = asyncio.run(question)
    except CommandFailure as error:
        if as_json and error.exit_code == Exit.UNREACHABLE:
            # Whoever watches the field `status` finds it here, too.
            print_json({"status": "unhealthy", "reasons": [error.message], "error": error.error})
            return error.exit_code
        raise
    report = msgspec.json.decode(answer)
    if as_json:
        print_json(answer)
    else:
        _print_status(report)
    return Exit.DONE if report["status"] == "healthy" else Exit.FAILED


def _print_status(report: Mapping[str, Any]) -> None:
    print(report["status"])
    for reason in report.get("reasons", ()):
        print(f"  because {reason}")
    print_members({name: value for name, value in report.items() if name not in ("status", "reasons")})


def projections() -> App:
    """The commands that compare the tables with the log."""
    app = App(
        name="projections", help="Proves that the tables say what the log says, and puts right what differs."
    )
    app.command(verify)
    app.command(rebuild)
    return app


def verify(*, data: DataOption = None, as_json: JsonOption = False) -> int:
    """Compares every row of every table with what the events say; nothing is changed.

    For example:

        hyperpage projections verify

    Works on a running service, and on the file of a stopped one. Exits with 6 on any difference.
    """
    report = _check("verify", data)
    _print_check(report, as_json)
    return Exit.DONE if report["equal"] else Exit.VERIFICATION_FAILED


def rebuild(*, data: DataOption = None, as_json: JsonOption = False) -> int:
    """Compares as `verify` does, and writes the rows that differ anew from the events.

    For example:

        hyperpage projections rebuild

    The report tells what was found; afterwards, the tables are equal. Works on a running service, and on
    the file of a stopped one. Exits with 6 where there was a difference.
    """
    report = _check("rebuild", data)
    _print_check(report, as_json)
    return Exit.DONE if report["equal"] else Exit.VERIFICATION_FAILED
