"""Counts acts that repeat too often: `Repeats`. So no caller can fill the disk, or push out older lines.

The first acts of a kind (the same actor, action and outcome) get a line each, the later ones are added up in
one line a minute. Refusals have a second limit for all kinds together: one shared by all callers without a
principal ("strangers"), and one for each known caller, so that no caller's refusals hide another's.
"""

import time
from collections.abc import Callable

import msgspec

from bus.serving.audit import Act, Actor, AuditOutcome

WINDOW_SECONDS = 60.0
# How many acts of a kind get a line of their own in a minute.
REFUSED_A_WINDOW = 5
OTHERS_A_WINDOW = 120
# How many refusals of all kinds may be written at once, and how many in an hour in the long run; for all
# strangers together, and for each known caller. A line takes less than a kilobyte.
REFUSED_AT_ONCE = 120
REFUSED_AN_HOUR = 120
# How many kinds are counted separately in a minute.
MAXIMUM_KINDS = 1_000


class _Kind(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that two acts share if they are counted as one kind."""

    actor: Actor
    action: str
    outcome: AuditOutcome
    code: str | None
    dry_run: bool = False


class _Window(msgspec.Struct, kw_only=True):
    """The current minute of a kind: its start, and how many acts were written and how many only counted."""

    since: float
    written: int = 0
    counted: int = 0


class Repeats:
    """Decides which acts are written. `clock` counts seconds from any moment."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._strangers = _Share("several strangers", clock, room_of=lambda actor: "")
        self._known = _Share("several", clock, room_of=lambda actor: actor.principal or actor.name)

    def is_to_be_written(self, act: Act) -> bool:
        """Whether an act gets a line of its own; otherwise `counted` adds it up later."""
        is_strangers = act.outcome == "refused" and act.actor.principal is None
        kind = _Kind(
            actor=act.actor, action=act.action, outcome=act.outcome, code=act.code, dry_run=act.dry_run
        )
        if not is_strangers:
            # A known caller is one kind under any address and claimed name: a caller may have many addresses.
            name = act.actor.principal or act.actor.name
            actor = msgspec.structs.replace(act.actor, name=name, address=None)
            kind = msgspec.structs.replace(kind, actor=actor)
        return (self._strangers if is_strangers else self._known).is_to_be_written(kind)

    def counted(self, now_ms: int, *, all_of_them: bool = False) -> list[Act]:
        """An act for each kind whose minute is over, with the number of its acts that were not written."""
        both = (self._strangers, self._known)
        return [act for share in both for act in share.counted(now_ms, all_of_them=all_of_them)]


class _Room(msgspec.Struct, kw_only=True):
    """How many refusals may still be written, as of the moment `at`; it grows with time."""

    left: float = REFUSED_AT_ONCE
    at: float


class _Share:
    """The kinds of strangers, or of known callers. Actors with the same `room_of` share a limit."""

    def __init__(self, name: str, clock: Callable[[], float], room_of: Callable[[Actor], str]) -> None:
        self._clock = clock
        self._windows: dict[_Kind, _Window] = {}
        self._rooms: dict[str, _Room] = {}
        self._room_of = room_of
        # These two stand for all kinds beyond the limit.
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
