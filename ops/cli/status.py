"""`hyperpage status`: whether the running service is healthy, and if not, why."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from ops.cli.asking import asked_status
from ops.cli.terminal.exits import Exit
from ops.cli.terminal.options import DataOption, JsonOption, option
from ops.cli.terminal.output import print_members, print_result


def status(
    *,
    ready: Annotated[
        bool, option("Exit with 0 also when it is degraded: for whoever decides by it about a restart.")
    ] = False,
    instance: Annotated[
        str | None,
        option(
            "The id of the service to ask, where several are on the directory's nats-server: as in"
            " runtime.json, and as `nats micro ls` has it. Default: the one on the directory."
        ),
    ] = None,
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
    answer = asked_status(data, instance)
    print_result(answer, as_json, _print_status)
    good = ("healthy", "degraded") if ready else ("healthy",)
    return Exit.DONE if msgspec.json.decode(answer)["status"] in good else Exit.FAILED


def _print_status(report: Mapping[str, Any]) -> None:
    print(report["status"])
    for reason in report.get("reasons", ()):
        print(f"  because {reason}")
    for note in report.get("notes", ()):
        print(f"  note that {note['message']}; {note['hint']}")
    shown = report.keys() - {"status", "reasons", "notes"}
    print_members({name: value for name, value in report.items() if name in shown})
