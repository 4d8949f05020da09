"""What happens without an operator asking a running service.

recorded, record  what the command line does by itself: `recorded` around it, or `record`
own_act           what a service does of its own accord
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
    """What the service has done of its own accord, just now."""
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

    `request` is what was asked for, as JSON has it: it is cut, and withheld if it looks like a credential.

    Raises:
        AuditError: it cannot be written.
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

    What cannot be written is not done, unless it makes room or takes rights away: `unless_written` is told of
    it then.

    Raises:
        AuditError: the begin cannot be written.
    """

    def write(outcome: AuditOutcome, code: str | None = None) -> None:
        try:
            record(trail, action, request, by=by, outcome=outcome, code=code)
        except AuditError as error:
            if unless_written is None and outcome == "begun":
                raise
            # It has happened; a disk that is full now was not a moment ago.
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
    """The word for why something failed, which no message of an error is: that may repeat anything."""
    for name in ("code", "reason"):
        word = getattr(error, name, None)
        if isinstance(word, str):
            return word
    answer = getattr(error, "error", None)
    if isinstance(answer, dict) and isinstance(answer.get("code"), str):
        return str(answer["code"])
    return "refused" if isinstance(error, Refusal) else type(error).__name__
