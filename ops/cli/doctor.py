"""`hyperpage doctor`: checks everything, and says for each finding what to do."""

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import msgspec

from domain.counting import counted
from ops.cli.asking import asked_status
from ops.cli.stopped import free_directory, require_store
from ops.cli.terminal.exits import CommandFailure, Exit
from ops.cli.terminal.options import DataOption, JsonOption, option, settings_for
from ops.cli.terminal.output import print_result, printable, shown_progress

if TYPE_CHECKING:
    from ops.doctor.finding import DoctorFinding
    from ops.settings import Settings

# If one of these checks fails, the exit code is that of a failed verification.
_VERIFICATIONS = frozenset({"audit", "integrity", "schema", "migrations", "backup", "reach"})
_SIGNS = {"well": "ok", "attention": "!!", "wrong": "XX"}


def doctor(
    *,
    quick: Annotated[
        bool, option("Leave out the checks that read the whole store: its integrity, and the backup.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Checks everything that an operator would check, and says what to do about each finding.

    For example:

        hyperpage doctor
        hyperpage doctor --quick --json

    It checks every page and index of the store, the room and speed of the
    disks, the rights to the files, and the health that the service reports. It
    also makes a backup, restores it into a scratch folder, compares each row
    with the log, and verifies it; the backup stays, like a scheduled one. Works
    beside a running service, and on the files of a stopped one. Takes about a
    minute for a gigabyte.

    Exits with 0 if all is well, with 1 if something needs attention, with 6 if
    the store or its backup is damaged.
    """
    from ops.doctor.examination import examine
    from ops.version import service_version

    settings = settings_for(data)
    require_store(settings.store_path)
    found = []
    with shown_progress() as progress:
        checks = examine(settings, quick=quick, version=service_version(), progress=progress)
        for finding in chain(_service(settings), checks):
            found.append(finding)
            if not as_json:
                _print(finding)
    levels = {one.level for one in found}
    worst = next((level for level in ("wrong", "attention") if level in levels), "well")
    bad = sum(one.level != "well" for one in found)
    verdict = f"Something to do: {bad} of {counted(len(found), 'finding')}." if bad else "All is well."
    print_result({"status": worst, "findings": found}, as_json, verdict)
    if any(one.level == "wrong" and one.check in _VERIFICATIONS for one in found):
        return Exit.VERIFICATION_FAILED
    return Exit.DONE if worst == "well" else Exit.FAILED


def _service(settings: "Settings") -> "Iterator[DoctorFinding]":
    from ops.doctor.finding import DoctorFinding
    from ops.doctor.running import look_at_service

    with free_directory(settings) as in_use:
        is_stopped = in_use is None
    if is_stopped:
        yield DoctorFinding(check="service", message="no service runs here: its files are looked at")
        return
    try:
        report = msgspec.json.decode(asked_status(settings.data))
    except CommandFailure as error:
        yield DoctorFinding(
            check="service",
            level="wrong",
            message=f"the service has the directory, and does not answer: {error.message}",
            hint="look at its log; a start may take a while, after a crash above all",
        )
        return
    yield from look_at_service(report)


def _print(finding: "DoctorFinding") -> None:
    print(f"{_SIGNS[finding.level]}  {finding.check}: {printable(finding.message)}", flush=True)
    if finding.hint:
        print(f"      what to do: {printable(finding.hint)}")
