"""Looks at the audit log: whether it is what was written."""

from collections.abc import Iterator

from ops.audit.files import FOLDER
from ops.audit.verification import verify
from ops.doctor.finding import DoctorFinding
from ops.settings import Settings


def look_at_audit(settings: Settings) -> Iterator[DoctorFinding]:
    """Whether each line follows from the one before; some seconds for a million."""
    folder = settings.data / FOLDER
    if not folder.exists():
        yield DoctorFinding(check="audit", message="there is no audit log yet")
        return
    found = verify(folder)
    figures = {"lines": found.lines, "head": found.head}
    if found.wrong is None:
        yield DoctorFinding(
            check="audit", message=f"the {found.lines} lines of the audit log are as written", figures=figures
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
