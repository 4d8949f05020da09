"""The page of the audit log, `audit.html`, for administrators."""

from typing import Any

from starlette.responses import Response

from ops.console.rendering import PREFIX, counted
from ops.console.routing import action, page
from ops.console.visit import Visit
from ops.http.routing import backend_of

PAGE_ROWS = 100
PATH = f"{PREFIX}/audit"


async def show_audit(visit: Visit) -> Response:
    """The lines of the audit log that the visitor looks for, newest first."""
    wanted = {name: visit.parameter(name) for name in ("action", "actor")}
    after = visit.number("after")
    listed = await visit.administer("audit.list", **wanted, after=after, limit=PAGE_ROWS)
    return visit.render(
        "log/audit.html",
        lines=listed["items"],
        next=listed["next"],
        is_first=after is None,
        wanted=wanted,
        head=backend_of(visit.request).now.parts.audit.head,
    )


async def verify(visit: Visit) -> Response:
    """Checks the whole log."""
    found = await visit.administer("audit.verify")
    visit.tell(_verified(found), "good" if found["wrong"] is None else "bad")
    return visit.go(PATH)


def _verified(found: dict[str, Any]) -> str:
    wrong = found["wrong"]
    if wrong is None:
        lines = counted(found["lines"], "line")
        return f"Each line follows from the one before, {lines} in all; the head is {found['head']}"
    return f"The log was changed: {wrong['file']}, line {wrong['line']}: {wrong['reason']}"


ROUTES = [
    page("/audit", show_audit, role="admin"),
    action("/audit/verify", verify, role="admin"),
]
