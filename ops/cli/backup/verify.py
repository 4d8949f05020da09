"""`hyperpage backup verify`, `drill`, `verify-archive`: checks of backups and archive."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from domain.counting import counted
from ops.cli.backup.options import (
    IdentityOption,
    NameArgument,
    backup_settings,
    identities_in,
    scratch_folder,
)
from ops.cli.terminal.exits import CommandFailure, Exit, failure
from ops.cli.terminal.failures import exit_code_of, understandable
from ops.cli.terminal.options import DataOption, JsonOption, option
from ops.cli.terminal.output import print_result, shown_progress
from ops.cli.terminal.recording import recorded

if TYPE_CHECKING:
    from ops.settings import Settings
    from ops.targets.errors import BackupError


def verify(
    name: NameArgument,
    /,
    *,
    identity: IdentityOption = None,
    routine: Annotated[
        bool,
        option(
            "What the service does by itself: the hashes only from where the check at its creation began; of"
            " what is encrypted, size and checksum."
        ),
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Checks a whole backup: its file, its content, and the hash of every event from the first one on.

    For example:

        hyperpage backup verify hyperpage-backup-20261124T081500000Z.db
        hyperpage backup verify hyperpage-backup-20261124T081500000Z.db.zst.age --identity key.txt

    The exit code is 6 if the backup is damaged, and 1 if it is encrypted and
    there is no key for it.
    """
    from ops.backup.content import store_id_of
    from ops.backup.metadata import entry_of, find_backup
    from ops.backup.verify import verify_by_routine, verify_whole
    from ops.targets.errors import BackupError

    settings = backup_settings(data)
    identities = identities_in(identity)
    with understandable(), shown_progress() as progress:
        try:
            place = find_backup(settings.backup_folder, name)
            store_id = store_id_of(settings.store_path)
            if routine:
                found = verify_by_routine(place, store_id, progress, settings.signing)
            else:
                scratch = scratch_folder(settings)
                found = verify_whole(place, store_id, identities, scratch, progress, settings.signing)
        except BackupError as error:
            raise unsound(error, name, settings) from error
    answer = {"valid": True, "message": "it is as it was", **entry_of(found)}
    position = found.metadata.position
    print_result(answer, as_json, f"{found.name}: it is as it was (position {position}), {found.signature}")


def unsound(error: "BackupError", name: str, settings: "Settings") -> CommandFailure:
    """The failure with which `verify` and `drill` report an unsound backup; its hint says what to do."""
    from ops.backup.verdict import judge
    from ops.targets.errors import TABLES_DIFFER, UNUSABLE

    hint = error.hint
    if error.reason in UNUSABLE | {TABLES_DIFFER}:
        # The store may be damaged, too, and then the hint is a different one.
        with suppress(OSError):
            hint = judge(settings.places, wrong={Path(name).name: error.message}).hint or hint
    # Whether an encrypted backup is sound is unknown without a key.
    valid = None if error.reason == "encrypted" else False
    answer = {"valid": valid, "message": error.message, "reason": error.reason, "name": Path(name).name}
    if error.reason in ("forged", "unsigned"):
        answer["signature"] = error.reason
    described = {"code": error.reason, "message": error.message, "hint": hint, "details": {}}
    return CommandFailure(exit_code_of(error), described, answer=answer)


def drill(
    name: Annotated[str | None, Parameter(help="The backup's name or path. Default: the newest.")] = None,
    /,
    *,
    identity: IdentityOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Proves a backup: makes a store from it in a scratch folder, folds its log and compares every row.

    For example:

        hyperpage backup drill
        hyperpage backup drill hyperpage-backup-20261124T081500000Z.db

    The exit code is 6 if the backup does not give the same store, and 1 if it
    is encrypted and there is no key for it.
    """
    from ops.backup.content import store_id_of
    from ops.backup.drill import drill as carry_out
    from ops.backup.metadata import entry_of, find_backup, list_backups
    from ops.targets.errors import BackupError

    settings = backup_settings(data)
    folder, identities = settings.backup_folder, identities_in(identity)
    with understandable(), shown_progress() as progress:
        listed = list_backups(folder, store_id_of(settings.store_path), settings.signing)
        # A backup with a refused signature is taken only if there is no other.
        newest = next((one for one in listed if not one.signature.is_refused), next(iter(listed), None))
        if name is None and newest is None:
            raise failure(
                Exit.NOT_FOUND,
                "not_found",
                f"there is no backup in {folder}",
                "`hyperpage backup create` makes one",
            )
        try:
            place = find_backup(folder, name) if name is not None else newest.place  # type: ignore[union-attr]
            scratch = scratch_folder(settings)
            with recorded(settings, "backup.drill", {"name": place.name}, anyway=True):
                proven = carry_out(
                    place,
                    identities=identities,
                    signing=settings.signing,
                    scratch=scratch,
                    progress=progress,
                )
        except BackupError as error:
            raise unsound(error, name or ("" if newest is None else newest.name), settings) from error
    answer = {"valid": True, "message": "a store made from it is the same", **entry_of(proven)}
    print_result(
        answer, as_json, f"{proven.name}: proven; a store made from it is the same; {proven.signature}"
    )


def verify_archive(
    *, identity: IdentityOption = None, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Reads the whole archive, and says which segments are damaged, and where events are missing.

    For example:

        hyperpage backup verify-archive
        hyperpage backup verify-archive --identity backup-key.txt

    This works also while the service runs, which does the same once a week.
    Without a key, encrypted segments are checked by their checksums only. The
    exit code is 6 if anything is damaged or missing.
    """
    from ops.archive.verify import verify_archive as carry_out

    settings = backup_settings(data)
    identities = identities_in(identity)
    with understandable(), shown_progress() as progress:
        report = carry_out(settings.archive_folder, identities, signing=settings.signing, progress=progress)
    answer = {"valid": report.is_sound, **msgspec.to_builtins(report)}
    if not report.is_sound:
        damage = "; ".join(report.damage.values())
        hint = (
            "the service writes a segment anew from its log if the damaged file is moved away and the service"
            " is started again"
        )
        code = "forged" if "forged" in report.signatures else "segment_damaged"
        described = {"code": code, "message": damage, "hint": hint, "details": {}}
        raise CommandFailure(Exit.VERIFICATION_FAILED, described, answer=answer)
    how = f" ({report.unread} encrypted, by their checksums)" if report.unread else ""
    whose = ", ".join(f"{count} {whose}" for whose, count in sorted(report.signatures.items()))
    as_written = f"{counted(report.segments, 'segment')}, as written{how}"
    print_result(answer, as_json, f"{settings.archive_folder}: {as_written}{whose and '; '}{whose}")
