"""Records where the settings let a value be stored that looks like a credential; never the value itself."""

from collections.abc import Callable, Iterable

import msgspec

from bus.serving.audit import Act, Actor, summary
from bus.writing.submission import Request
from domain.credentials.scanning import AllowedPaths
from domain.messages import Metadata
from ops.audit.recorder import Recorder

# Each place of the settings is recorded once in this time at most; findings in between are counted.
AGAIN_AFTER_MS = 3_600_000


class LetThrough:
    """Records allowed findings. Used from the event loop's thread only; `now_ms` is the service's clock."""

    def __init__(self, audit: Recorder, allowed: AllowedPaths, now_ms: Callable[[], int]) -> None:
        self._audit = audit
        self._allowed = allowed
        self._now_ms = now_ms
        # When each place was recorded last, and how many findings there were since.
        self._told: dict[str, tuple[int, int]] = {}

    def hear(self, requests: Iterable[Request]) -> None:
        """Records commands that were stored although they have findings."""
        now = self._now_ms()
        for request in requests:
            for finding in request.findings:
                place = self._allowed.place_of(request.name, finding)
                if place is None:
                    continue
                told_at, unsaid = self._told.get(place, (now - AGAIN_AFTER_MS, 0))
                if now - told_at < AGAIN_AFTER_MS:
                    self._told[place] = told_at, unsaid + 1
                    continue
                self._told[place] = now, 0
                said = {
                    "command": request.name,
                    "path": finding.path,
                    "kind": finding.kind,
                    "allowed_by": place,
                    **({"more_of_these": unsaid} if unsaid else {}),
                }
                self._audit.note(_act(request, said, now))


def _act(request: Request, said: dict[str, object], now: int) -> Act:
    about = Metadata() if request.metadata is None else msgspec.json.decode(request.metadata, type=Metadata)
    return Act(
        at=now,
        actor=Actor(name=about.actor or "unknown", via="service", principal=about.principal),
        action="secret.let_through",
        request=summary(said),
        outcome="done",
    )
