"""Acts for the audit log."""

from typing import Any

from bus.serving.audit import Act, Actor, AuditOutcome

MOMENT = 1_790_000_000_000


def act(action: str = "dlq.drop", *, name: str = "alice", at: int = MOMENT, **more: Any) -> Act:
    """An act of an administrator over HTTP."""
    outcome: AuditOutcome = more.pop("outcome", "done")
    actor = Actor(name=name, via="http", address=more.pop("address", "127.0.0.1"), principal=name)
    request = more.pop("request", '{"all":true}')
    return Act(at=at, actor=actor, action=action, request=request, outcome=outcome, **more)
