"""What the audit log hears of those who come over HTTP: log-ins, and what was refused to whom. `Attempts`."""

import time
from collections.abc import Callable

from starlette.requests import Request

from bus.serving.audit import Act, Actor, AuditOutcome, summary
from ops.http.access.roles import Principal
from ops.http.layers.addresses import MAXIMUM_CHARACTERS

# Who showed what let nobody in.
NOBODY = "unknown"


class Attempts:
    """Tells `note` of each. What was shown is never told, only whose it was where that is known."""

    def __init__(self, note: Callable[[Act], None]) -> None:
        self._note = note

    def logged_in(self, request: Request, principal: Principal, by: str) -> None:
        """A session began, with a token or a link."""
        self._tell(request, "session.open", "done", name=principal.name, by=by, role=principal.role)

    def logged_out(self, request: Request, principal: Principal) -> None:
        """A session was ended."""
        self._tell(request, "session.close", "done", name=principal.name)

    def not_let_in(self, request: Request, action: str, code: str, owner: str | None = None) -> None:
        """What was shown lets nobody in; `owner` is whose it was, if it did once."""
        self._tell(request, action, "refused", name=owner, code=code, vouched_for=False)

    def forbidden(self, request: Request, principal: Principal, needed: str) -> None:
        """Somebody asked for what their role does not allow, or another site had their browser do so."""
        self._tell(
            request,
            "http.request",
            "refused",
            name=principal.name,
            code="forbidden",
            method=request.method,
            path=request.scope["path"],
            needed=needed,
        )

    def _tell(
        self,
        request: Request,
        action: str,
        outcome: AuditOutcome,
        *,
        name: str | None,
        code: str | None = None,
        vouched_for: bool = True,
        **said: str,
    ) -> None:
        actor = Actor(
            name=name or NOBODY,
            via="http",
            address=address_of(request),
            principal=name if vouched_for else None,
        )
        self._note(
            Act(
                at=time.time_ns() // 1_000_000,
                actor=actor,
                action=action,
                request=summary(said),
                outcome=outcome,
                code=code,
            )
        )


def address_of(request: Request) -> str:
    """The address that a request comes from, as far as the connection tells."""
    # A proxy may have handed on whatever its client wrote in the place of an address.
    return request.client.host[:MAXIMUM_CHARACTERS] if request.client is not None else "unknown"
