"""Every administrative act, as it is recorded: in the audit log, the service's log, and a notice."""

import json
import logging
from contextvars import ContextVar
from typing import Any, Literal, Protocol

import msgspec

from bus.contract import codec
from domain.errors import Refusal

# `begun` is followed by another act with the outcome, under the same action.
AuditOutcome = Literal["done", "begun", "refused", "failed"]
# A request is recorded up to this length; no other part of an act is longer.
MAXIMUM_REQUEST_CHARACTERS = 500

logger = logging.getLogger("hyperpage.audit")


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """The author of an act: a name, the way by which the request came, and the address that it came from.

    `principal` is the token or user that authenticated the request; `None` if there was none. Over NATS and
    on the command line, `name` is any name that the user with the administrator's credentials has given.
    """

    name: str
    via: Literal["nats", "http", "command line", "service"]
    address: str | None = None
    principal: str | None = None


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One administrative act. `at` is in milliseconds since the epoch; `code` says why it was refused.

    A `dry_run` says what would be done, and does nothing.
    """

    at: int
    actor: Actor
    action: str
    request: str
    outcome: AuditOutcome
    code: str | None = None
    dry_run: bool = False


# The author of the act that is carried out in this context.
acting: ContextVar[Actor] = ContextVar("acting")


class ActRecorder(Protocol):
    """Records acts."""

    async def begin(self, actor: Actor, action: str, body: Any, *, anyway: bool) -> None:
        """Returns when the beginning of an act is recorded.

        Raises:
            Refusal: it cannot be recorded, and the act is not one that is done `anyway`.
        """

    async def end(
        self,
        actor: Actor,
        action: str,
        body: Any,
        outcome: AuditOutcome,
        refusal: Refusal | None,
        *,
        dry_run: bool = False,
    ) -> None:
        """Returns when the outcome of an act, or of its dry run, is recorded."""


def write_to_log(act: Act, audit_head: str = "") -> None:
    """Writes the line of an act to the service's log, with the whole act under the key `act`.

    `audit_head` is the head of the audit log. Where the line is kept elsewhere, it vouches for that log.
    """
    with_head = {"audit_head": audit_head} if audit_head else {}
    logger.info("%s: %s", act.action, act.outcome, extra={"act": msgspec.to_builtins(act), **with_head})


def summary(body: Any) -> str:
    """A request as it is recorded."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else _as_json(body)
    if codec.findings_in(text.encode()):
        return "withheld: it looks as if it holds a credential"
    return text[:MAXIMUM_REQUEST_CHARACTERS]


def _as_json(body: Any) -> str:
    try:
        return codec.encode(body).decode()
    except UnicodeEncodeError:
        # A name or a path from the command line may not be valid Unicode.
        return json.dumps(msgspec.to_builtins(body))
