"""`hyperpage status`: whether the running service is healthy, and if not, why."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from ops.cli.asking import application_address, ask, asked_over_http
from ops.cli.terminal.exits import CommandFailure, Exit
from ops.cli.terminal.options import DataOption, JsonOption, option
from ops.cli.terminal.output import print_members, print_result

STATUS_SECONDS = 10.0


def status(
    *,
    ready: Annotated[
        bool, option("Exit with 0 also when it is degraded: for whoever decides by it about a restart.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Tells whether the running service is healthy, and if not, why.

    For example:

        hyperpage status
        hyperpage status --json --data /var/lib/hyperpage

    Exits with 0 when it is healthy, with 1 when it is degraded or unhealthy,
    with 5 when none runs.
    """
    answer = asked_status(data)
    print_result(answer, as_json, _print_status)
    good = ("healthy", "degraded") if ready else ("healthy",)
    return Exit.DONE if msgspec.json.decode(answer)["status"] in good else Exit.FAILED


def asked_status(data: Path | None) -> bytes:
    """What the running service says of its health, over the bus or, without its broker, over HTTP.

    Raises:
        CommandFailure: none runs, or it does not answer.
    """
    try:
        address = application_address(data)
        question = ask(address, address.names.query("service.status"), b"", timeout_seconds=STATUS_SECONDS)
        return asyncio.run(question)
    except CommandFailure as error:
        # Without its broker, it still answers over HTTP.
        said = asyncio.run(asked_over_http(data, "/readyz?verbose", timeout_seconds=STATUS_SECONDS))
        if said is None:
            # Whoever watches the field `status` finds it here, too.
            report = {"status": "unhealthy", "reasons": [error.message], "error": error.error}
            raise CommandFailure(error.exit_code, error.error, answer=report) from error
        return said


def _print_status(report: Mapping[str, Any]) -> None:
    print(report["status"])
    for reason in report.get("reasons", ()):
        print(f"  because {reason}")
    print_members({name: value for name, value in report.items() if name not in ("status", "reasons")})
