"""Checks the audit log: whether any line was changed after it was written."""

from collections.abc import Iterator

from domain.counting import counted
from ops.audit.files import FOLDER
from ops.audit.verification import verify
from ops.backup.audit_heads import kept_heads
from ops.backup.content import store_id_of
from ops.doctor.finding import DoctorFinding
from ops.settings import Settings


def look_at_audit(settings: Settings) -> Iterator[DoctorFinding]:
    """Checks that each line follows from the one before; takes some seconds for a million lines."""
    folder = settings.data / FOLDER
    if not folder.exists():
        yield DoctorFinding(check="audit", message="there is no audit log yet")
        return
    kept = kept_heads(settings.backup_folder, store_id_of(settings.store_path) or "", settings.signing)
    found = verify(folder, kept=kept)
    figures = {"lines": found.lines, "head": found.head, "compared_with": found.compared_with}
    if found.wrong is None and found.earlier is not None:
        yield DoctorFinding(
            check="audit",
            level="attention",
            message=f"the audit log was begun anew: there was an earlier one ({found.earlier})",
            hint="that is so where a store was restored elsewhere, or the log moved away; else look who may"
            " write there",
            figures=figures,
        )
        return
    if found.wrong is None:
        yield DoctorFinding(
            check="audit",
            message=f"the audit log is as written: {counted(found.lines, 'line')}",
            figures=figures,
        )
        return
    where = f"{found.wrong.file}, line {found.wrong.line}"
    yield DoctorFinding(
        check="audit",
        level="wrong",
        message=f"the audit log was changed: {where}: {found.wrong.reason}",
        hint="keep it, and see who else may write there; move the folder away, and another log begins",
        figures=figures,
    )
