"""`hyperpage backup verify-archive`."""

import msgspec

from ops.cli.backup.options import IdentityOption, backup_settings, identities_in
from ops.cli.terminal.exits import CommandFailure, Exit
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import DataOption, JsonOption
from ops.cli.terminal.output import print_result
from ops.cli.terminal.progress_bars import shown_progress


def verify_archive(
    *, identity: IdentityOption = None, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Reads all of the archive, and says which segments are damaged, and where events are missing.

    For example:

        hyperpage backup verify-archive
        hyperpage backup verify-archive --identity backup-key.txt

    Also while the service runs, which does it once a week. Without a key,
    encrypted segments are compared by their checksums. The exit code is 6 if
    anything is not what it was.
    """
    from ops.archive.verify import verify_archive as carry_out

    settings = backup_settings(data)
    identities = identities_in(identity)
    with understandable(), shown_progress() as progress:
        report = carry_out(settings.archive_folder, identities, progress=progress)
    answer = {"valid": report.is_sound, **msgspec.to_builtins(report)}
    if not report.is_sound:
        damage = "; ".join(report.damage.values())
        hint = (
            "the service writes a segment anew from its log if the damaged file is moved away and the service"
            " is started again"
        )
        described = {"code": "segment_damaged", "message": damage, "hint": hint, "details": {}}
        raise CommandFailure(Exit.VERIFICATION_FAILED, described, answer=answer)
    how = f" ({report.unread} encrypted, by their checksums)" if report.unread else ""
    line = f"{settings.archive_folder}: {report.segments} segments, as they were written{how}"
    print_result(answer, as_json, line)
