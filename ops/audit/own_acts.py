"""Acts that no operator has asked a running service for.

recorded, record  acts of the command line itself: `recorded` around the act, or `record` for one line
own_act           acts of a service of its own accord
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bus.serving.audit import Act, Actor, AuditOutcome, summary
from domain.errors import Refusal
from ops.audit.files import AuditError
from ops.audit.trail import AuditTrail


def own_act(action: str, said: Mapping[str, Any], *, failed: bool = False) -> Act:
    """An act that the service has done of its own accord just now."""
    return Act(
        at=time.time_ns() // 1_000_000,
        actor=Actor(name="hyperpage", via="service"),
        action=action,
        request=summary(said),
        outcome="failed" if failed else "done",
    )


def record(
    trail: AuditTrail,
    action: str,
    request: Any,
    *,
    by: str,
    outcome: AuditOutcome = "done",
    code: str | None = None,
) -> None:
    """Writes an act of a user at the command line, which is on disk when this returns.

    `request` is the request in JSON types: it is cut, and withheld if it looks like a credential.

    Raises:
        AuditError: the act cannot be written.
    """
    trail.append(
        Act(
            at=time.time_ns() // 1_000_000,
            actor=Actor(name=by, via="command line"),
            action=action,
            request=summary(request),
            outcome=outcome,
            code=code,
        )
    )


@contextmanager
def recorded(
    trail: AuditTrail,
    action: str,
    request: Any,
    *,
    by: str,
    unless_written: Callable[[AuditError], None] | None = None,
) -> Iterator[None]:
    """Writes that an act begins and, after the block, how it ended.

    An act whose begin cannot be written is not done. With `unless_written` it is done all the same, and the
    error goes there: for acts that free space or take rights away.

    Raises:
        AuditError: the begin cannot be written, and there is no `unless_written`.
    """

    def write(outcome: AuditOutcome, code: str | None = None) -> None:
        try:
            record(trail, action, request, by=by, outcome=outcome, code=code)
        except AuditError as error:
            if unless_written is None and outcome == "begun":
                raise
            # A missing last line does not make an act fail that has happened.
            if unless_written is not None:
                unless_written(error)

    write("begun")
    try:
        yield
    except BaseException as error:
        write("failed", _code_of(error))
        raise
    write("done")


def _code_of(error: BaseException) -> str:
    """A code for why an act failed. The error's message is not used: it may repeat any input."""
    for name in ("code", "reason"):
        word = getattr(error, name, None)
        if isinstance(word, str):
            return word
    answer = getattr(error, "error", None)
    if isinstance(answer, dict) and isinstance(answer.get("code"), str):
        return str(answer["code"])
    return "refused" if isinstance(error, Refusal) else type(error).__name__
