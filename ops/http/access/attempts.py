"""Records callers over HTTP in the audit log, their log-ins and refusals: `Attempts`."""

import time
from collections.abc import Callable

from starlette.requests import Request

from bus.serving.audit import Act, Actor, AuditOutcome, summary
from ops.http.access.roles import Principal
from ops.http.layers.addresses import MAXIMUM_CHARACTERS

# The name of a caller whose credentials are not known.
NOBODY = "unknown"


class Attempts:
    """Passes each act to `note`. Acts never hold the secret shown, only its owner's name if that is known."""

    def __init__(self, note: Callable[[Act], None]) -> None:
        self._note = note

    def logged_in(self, request: Request, principal: Principal, by: str) -> None:
        """A session began, with a token or a link."""
        self._tell(request, "session.open", "done", name=principal.name, by=by, role=principal.role)

    def logged_out(self, request: Request, principal: Principal) -> None:
        """A session was ended."""
        self._tell(request, "session.close", "done", name=principal.name)

    def not_let_in(self, request: Request, action: str, code: str, owner: str | None = None) -> None:
        """A secret was refused; `owner` is the token's name if the secret was valid once."""
        self._tell(request, action, "refused", name=owner, code=code, vouched_for=False)

    def forbidden(self, request: Request, principal: Principal, needed: str) -> None:
        """A caller's role does not allow the request, or another site made the browser send it."""
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
    # Cut, since a proxy may pass on any text of its client in place of an address.
    return request.client.host[:MAXIMUM_CHARACTERS] if request.client is not None else "unknown"
