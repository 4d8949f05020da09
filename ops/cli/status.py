"""`hyperpage status`: tells whether the running service is healthy, and if not, why."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec

from domain.counting import counted
from ops.cli.asking import asked_status
from ops.cli.terminal.exits import Exit
from ops.cli.terminal.options import DataOption, JsonOption, option
from ops.cli.terminal.output import date_text, minute_text, print_members, print_result, printable, size_text

# At most this many of the parts that take room are listed one by one.
LARGEST_PARTS = 8


def status(
    *,
    ready: Annotated[
        bool,
        option("Exit with 0 also when it is degraded, for supervisors that restart it by the exit code."),
    ] = False,
    instance: Annotated[
        str | None,
        option(
            "The id of the service to ask, if several are on the directory's nats-server, as in"
            " runtime.json and in `nats micro ls`. Default: the service on the directory."
        ),
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Shows whether the running service is healthy, and if not, why.

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
    shown = report.keys() - {"status", "reasons", "notes", "room", "aggregates"}
    print_members({name: value for name, value in report.items() if name in shown})
    if aggregates := report.get("aggregates"):
        print("aggregates:")
        width = max(len(one["table"]) for one in aggregates)
        for one in aggregates:
            print(f"  {one['table']:{width}}  {printable(one['source'])}")
    if (room := report.get("room")) and room["measured_at"] is not None:
        print(f"room, as it was at {minute_text(room['measured_at'])}:")
        for line in room_lines(room):
            print(f"  {line}")


def room_lines(room: Mapping[str, Any]) -> Iterator[str]:
    """The largest parts that take room, and the disks with when they are full, each as a line for people."""
    for part in room["parts"][:LARGEST_PARTS]:
        yield f"{size_text(part['size_bytes']):>9}  {part['part']}{_growth(part['growth_bytes_a_day'])}"
    if others := room["parts"][LARGEST_PARTS:]:
        size = sum(part["size_bytes"] for part in others)
        yield f"{size_text(size):>9}  {counted(len(others), 'other')}, which --json has"
    for disk in room["disks"]:
        full = "" if disk["full_at"] is None else f", full on {date_text(disk['full_at'])}"
        yield f"{size_text(disk['free_bytes']):>9}  free on the disk of {disk['folder']}{full}"


def _growth(growth_bytes: int | None) -> str:
    if not growth_bytes:
        return ""
    return f", {'+' if growth_bytes > 0 else '-'}{size_text(abs(growth_bytes))} a day"
