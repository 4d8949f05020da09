"""`hyperpage analytics export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from domain.counting import counted
from ops.cli.analytics.lake import lake_folder
from ops.cli.backup.options import IdentityOption, identities_in, scratch_folder
from ops.cli.terminal.exits import Exit
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import DataOption, JsonOption, option, settings_for
from ops.cli.terminal.output import print_result, say, shown_progress

if TYPE_CHECKING:
    from ops.analytics.export.exporting import ExportReport
    from ops.targets.sealing import Identities
    from ops.targets.target import Place


def export_backups(
    *,
    backup: Annotated[str, option("A backup's name or path, or all of them.")] = "all",
    out: Annotated[Path | None, option("The lake's folder. Default: DIR/lake.")] = None,
    identity: IdentityOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> int:
    """Turns backups and the archive into Parquet: the log once, the tables of each backup.

    Adds what is new to a lake. With --backup NAME, it takes that backup alone.

    For example:

        hyperpage analytics export
        hyperpage analytics export --backup all --out lake

    A backup that is damaged, or of another store, is left out, with the
    reason; the exit code is then 1, or 6 if no other backup was asked for.
    """
    with understandable():
        report = export_to(backup, lake_folder(out, data), data, identities_in(identity))
    print_result(report, as_json, _print_report)
    if not report.refused:
        return Exit.DONE
    return Exit.FAILED if backup == "all" else Exit.VERIFICATION_FAILED


def export_to(backup: str, lake: Path, data: Path | None, identities: "Identities" = ()) -> "ExportReport":
    """Exports one backup to a lake, or all backups and the archive; the report."""
    from ops.analytics.export.exporting import export
    from ops.archive.segment import list_segments
    from ops.backup.content import store_id_of
    from ops.backup.metadata import find_backup, look_for_backups, read_backup
    from ops.targets.errors import BackupError

    settings = settings_for(data)
    folder = settings.backup_folder
    if backup == "all":
        backups, damaged = look_for_backups(folder, signing=settings.signing)
        archive: Place | None = settings.archive_folder
        if not backups and not damaged and not list_segments(settings.archive_folder):
            raise BackupError(
                "not_found",
                f"there is no backup in {folder}, and no archive",
                "`hyperpage backup create` makes one",
            )
    else:
        path = find_backup(folder, backup)
        backups, damaged, archive = [read_backup(path, settings.signing)], [], None
    store_id = store_id_of(settings.store_path)
    with shown_progress() as progress:
        return export(
            backups,
            lake,
            store_id=store_id,
            damaged=damaged,
            archive=archive,
            identities=identities,
            signing=settings.signing,
            scratch=scratch_folder(settings),
            progress=progress,
        )


def _print_report(report: "ExportReport") -> None:
    rows = [{"backup": name, "outcome": "exported"} for name in report.exported]
    rows += [{"backup": one.name, "outcome": f"refused: {one.message}"} for one in report.refused]
    for row in rows:
        print(f"{row['backup']}: {row['outcome']}")
    for problem in report.unmerged:
        say(problem)
    for table in report.left_out:
        say(
            f"{table}: its package is not installed, so {table}_versions lacks some events; the export of"
            " a later backup, with that package, makes up for it"
        )
    kept = f", {counted(len(report.known), 'was', 'were')} there already" if report.known else ""
    archived = f" ({report.archived} of them from the archive)" if report.archived else ""
    written = f"{counted(report.events, 'event')} written{archived}, up to position {report.position}"
    print(f"{report.lake}: {written}{kept}")
