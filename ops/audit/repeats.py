"""What comes too often is counted: `Repeats`. Nobody fills the disk, or pushes out of the log what was there.

The first of a kind (an action, what became of it, and by whom) stand in the log one by one, those after them
as a number, once a minute. What is refused has a limit of all kinds together besides: one for all strangers,
and one for each who is known, so that nobody hides what another tries.
"""

import time
from collections.abc import Callable

import msgspec

from bus.serving.audit import Act, Actor, AuditOutcome

WINDOW_SECONDS = 60.0
# How many of a kind stand in the log one by one in a minute.
REFUSED_A_WINDOW = 5
OTHERS_A_WINDOW = 120
# How many refusals of all kinds may stand there at once, and how many in an hour in the long run, of all
# strangers and of each who is known: a line has less than a kilobyte.
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
    dry_run: bool = False


class _Window(msgspec.Struct, kw_only=True):
    """The last minute of a kind: since when, how many were written, and how many only counted."""

    since: float
    written: int = 0
    counted: int = 0


class Repeats:
    """Tells which acts are written. `clock` counts seconds from any moment."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._strangers = _Share("several strangers", clock, room_of=lambda actor: "")
        self._known = _Share("several", clock, room_of=lambda actor: actor.principal or actor.name)

    def is_to_be_written(self, act: Act) -> bool:
        """Whether an act is to stand in the log by itself; otherwise `counted` has it in time."""
        is_strangers = act.outcome == "refused" and act.actor.principal is None
        kind = _Kind(
            actor=act.actor, action=act.action, outcome=act.outcome, code=act.code, dry_run=act.dry_run
        )
        if not is_strangers:
            # The same from wherever they come, and whatever they call themselves: there are many addresses.
            name = act.actor.principal or act.actor.name
            actor = msgspec.structs.replace(act.actor, name=name, address=None)
            kind = msgspec.structs.replace(kind, actor=actor)
        return (self._strangers if is_strangers else self._known).is_to_be_written(kind)

    def counted(self, now_ms: int, *, all_of_them: bool = False) -> list[Act]:
        """An act for each kind whose minute is over, with the number of those that were not written."""
        both = (self._strangers, self._known)
        return [act for share in both for act in share.counted(now_ms, all_of_them=all_of_them)]


class _Room(msgspec.Struct, kw_only=True):
    """How many refusals may still be written, as it was at a moment."""

    left: float = REFUSED_AT_ONCE
    at: float


class _Share:
    """The kinds of some. `room_of` names those whose refusals share one limit."""

    def __init__(self, name: str, clock: Callable[[], float], room_of: Callable[[Actor], str]) -> None:
        self._clock = clock
        self._windows: dict[_Kind, _Window] = {}
        self._rooms: dict[str, _Room] = {}
        self._room_of = room_of
        # Stand for kinds that there was no room for.
        actor = Actor(name=name, via="service")
        self._any = _Kind(actor=actor, action="several", outcome="refused", code="too_many")
        self._any_done = msgspec.structs.replace(self._any, outcome="done")

    def is_to_be_written(self, kind: _Kind) -> bool:
        is_refused = kind.outcome == "refused"
        if kind not in self._windows and len(self._windows) >= MAXIMUM_KINDS:
            kind = self._any if is_refused else self._any_done
        window = self._windows.setdefault(kind, _Window(since=self._clock()))
        most = REFUSED_A_WINDOW if is_refused else OTHERS_A_WINDOW
        if (
            kind.code != self._any.code
            and window.written < most
            and (not is_refused or self._has_room(kind.actor))
        ):
            window.written += 1
            return True
        window.counted += 1
        return False

    def counted(self, now_ms: int, *, all_of_them: bool) -> list[Act]:
        now = self._clock()
        acts, unsaid, since = [], 0, now
        for kind, window in tuple(self._windows.items()):
            if not all_of_them and now - window.since < WINDOW_SECONDS:
                continue
            del self._windows[kind]
            if not window.counted:
                continue
            if kind == self._any or (kind.outcome == "refused" and not self._has_room(kind.actor)):
                unsaid += window.counted
                since = min(since, window.since)
            else:
                acts.append(_repeated(kind, window.counted, now - window.since, now_ms))
        if unsaid:
            acts.append(_repeated(self._any, unsaid, now - since, now_ms))
        return acts

    def _has_room(self, actor: Actor) -> bool:
        now, name = self._clock(), self._room_of(actor)
        if name not in self._rooms and len(self._rooms) >= MAXIMUM_KINDS:
            name = ""
        room = self._rooms.setdefault(name, _Room(at=now))
        room.left = min(REFUSED_AT_ONCE, room.left + (now - room.at) * REFUSED_AN_HOUR / 3_600)
        room.at = now
        if room.left < 1:
            return False
        room.left -= 1
        return True


def _repeated(kind: _Kind, count: int, seconds: float, now_ms: int) -> Act:
    return Act(
        at=now_ms,
        actor=kind.actor,
        action=kind.action,
        request=msgspec.json.encode({"more_of_these": count, "seconds": round(seconds)}).decode(),
        outcome=kind.outcome,
        code=kind.code,
        dry_run=kind.dry_run,
    )
