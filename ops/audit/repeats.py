"""What comes too often is counted: `Repeats`. Nobody fills the disk, or pushes out of the log what was there.

The first of a kind (an action, what became of it, and by whom from where) stand in the log one by one, those
after them as a number, once a minute. What is refused may come from anybody, so there is a limit for all of
that together, too.
"""

import time
from collections.abc import Callable

import msgspec

from bus.serving.audit import Act, Actor, AuditOutcome

WINDOW_SECONDS = 60.0
# How many of a kind stand in the log one by one in a minute.
REFUSED_A_WINDOW = 5
OTHERS_A_WINDOW = 120
# How many refusals of all kinds may stand there at once, and how many in an hour in the long run: a line has
# less than a kilobyte.
REFUSED_AT_ONCE = 120
REFUSED_AN_HOUR = 120
# How many kinds are told apart in a minute.
MAXIMUM_KINDS = 1_000


class _Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What makes two acts the same, as far as counting goes."""

    actor: Actor
    action: str
    outcome: AuditOutcome
    code: str | None


# Stands for refusals of all kinds that there was no room for.
_ANY = _Kind(actor=Actor(name="several", via="service"), action="refused", outcome="refused", code="too_many")


class _Window(msgspec.Struct, kw_only=True):
    """The last minute of a kind: since when, how many were written, and how many only counted."""

    since: float
    written: int = 0
    counted: int = 0


class Repeats:
    """Tells which acts are written. `clock` counts seconds from any moment."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[_Kind, _Window] = {}
        self._room = float(REFUSED_AT_ONCE)
        self._room_at = clock()

    def is_to_be_written(self, act: Act) -> bool:
        """Whether an act is to stand in the log by itself; otherwise `counted` has it in time."""
        kind = _Kind(actor=act.actor, action=act.action, outcome=act.outcome, code=act.code)
        is_refused = act.outcome == "refused"
        if kind not in self._windows and len(self._windows) >= MAXIMUM_KINDS:
            if not is_refused:
                return True
            kind = _ANY
        window = self._windows.setdefault(kind, _Window(since=self._clock()))
        most = REFUSED_A_WINDOW if is_refused else OTHERS_A_WINDOW
        if kind is not _ANY and window.written < most and (not is_refused or self._has_room()):
            window.written += 1
            return True
        window.counted += 1
        return False

    def counted(self, now_ms: int, *, all_of_them: bool = False) -> list[Act]:
        """An act for each kind whose minute is over, with the number of those that were not written."""
        now = self._clock()
        acts, unsaid, since = [], 0, now
        for kind, window in tuple(self._windows.items()):
            if not all_of_them and now - window.since < WINDOW_SECONDS:
                continue
            del self._windows[kind]
            if not window.counted:
                continue
            if kind is _ANY or (kind.outcome == "refused" and not self._has_room()):
                unsaid += window.counted
                since = min(since, window.since)
            else:
                acts.append(_repeated(kind, window.counted, now - window.since, now_ms))
        if unsaid:
            acts.append(_repeated(_ANY, unsaid, now - since, now_ms))
        return acts

    def _has_room(self) -> bool:
        now = self._clock()
        self._room = min(REFUSED_AT_ONCE, self._room + (now - self._room_at) * REFUSED_AN_HOUR / 3_600)
        self._room_at = now
        if self._room < 1:
            return False
        self._room -= 1
        return True


def _repeated(kind: _Kind, count: int, seconds: float, now_ms: int) -> Act:
    return Act(
        at=now_ms,
        actor=kind.actor,
        action=kind.action,
        request=msgspec.json.encode({"more_of_these": count, "seconds": round(seconds)}).decode(),
        outcome=kind.outcome,
        code=kind.code,
    )
