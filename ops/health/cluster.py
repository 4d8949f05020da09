"""The cluster that a service is a member of: its figures in the report, and the causes in it."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import msgspec

from bus.log.reader_pool import PoolClosedError, PoolExhaustedError, ReaderPool
from bus.replication.following import FollowerState
from bus.replication.leader_watch import USUAL_LIFE
from bus.replication.standing import ClusterState, LogStanding
from bus.replication.trailing import TrailState
from domain.catalogue import TIMELINE_FORKED, TIMELINE_STREAM, TimelineForked, decode_event
from domain.counting import counted
from hyperpage_client.waiting import UNTRIED
from ops.health.access import Note
from ops.health.cause import Cause
from ops.parts import RoleName
from ops.settings import Settings

# After the loss of a leader, another member leads within five seconds, or within fifteen if the broker must
# choose a leader of its own first.
LEADERLESS_SECONDS = 15.0
# The age at which a look at the log is too old. There is one every other second, and the broker may take as
# long to answer.
UNSEEN_SECONDS = 10.0


class MemberFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A live member, as it announced itself within the last seconds.

    `lag_events` is the number of the leader's events that it lacks, as far as both have announced them.
    `clock_ahead_ms` is how far its clock is ahead of the nats-server's.
    """

    name: str
    role: RoleName
    position: int
    lag_events: int | None
    version: str
    address: str
    age_ms: int
    clock_ahead_ms: int
    log_lag_events: int | None = None
    """Of one that leads with `async`: what is answered, and not in the log yet."""
    log_lag_seconds: float | None = None


class Fork(msgspec.Struct, frozen=True, kw_only=True):
    """The last timeline that began when a member took over, and the leader before may have answered more."""

    timeline: int
    position: int
    leader: str
    missing_events: int


def member_figures(state: ClusterState) -> list[MemberFigures]:
    """The live members, by name."""
    leader = None if state.leader is None else state.leader.name
    end = next((one.member.position for one in state.members if one.member.name == leader), None)
    waited_ms = int((state.looked_seconds_ago or 0) * 1_000)
    return [
        MemberFigures(
            name=(member := live.member).name,
            role=_role_of(member.role.value, is_leading=member.name == leader),
            position=member.position,
            lag_events=None if end is None else max(0, end - member.position),
            version=member.version,
            address=member.address,
            age_ms=live.age_ms + waited_ms,
            clock_ahead_ms=live.clock_ahead_ms,
            log_lag_events=member.log_lag_events,
            log_lag_seconds=member.log_lag_seconds,
        )
        for live in state.members
    ]


def last_fork(readers: ReaderPool) -> Fork | None:
    """The last fork of a store's log, if a leader began it; `None` also if the log cannot be read."""
    # The health's looks at the store report such errors.
    with suppress(apsw.Error, PoolClosedError, PoolExhaustedError), readers.connection() as connection:
        return _last_fork(connection)
    return None


def _last_fork(connection: apsw.Connection) -> Fork | None:
    found = connection.execute(
        "SELECT position, data FROM events WHERE stream = ? ORDER BY version DESC LIMIT 1", (TIMELINE_STREAM,)
    ).fetchone()
    event = None if found is None else decode_event(TIMELINE_FORKED, str(found[1]))
    if found is None or not isinstance(event, TimelineForked) or event.leader is None:
        return None
    return Fork(
        timeline=event.timeline,
        position=int(found[0]),
        leader=event.leader,
        missing_events=event.missing_events,
    )


def cluster_figures(
    state: ClusterState, role: RoleName, fork: Fork | None, lost: Sequence[Path]
) -> dict[str, Any]:
    """A member's figures of the other members, and of the log that all of them follow."""
    leader, log, looked = state.leader, state.log, state.looked_seconds_ago
    return {
        "name": state.name,
        "role": role,
        "term": None if leader is None else leader.term,
        "leader": None if leader is None else {"name": leader.name, "address": leader.address},
        "leaderless_seconds": round(state.leaderless_seconds, 1),
        "leader_changes": state.leader_changes,
        "members": member_figures(state),
        "log": None if log is None else {**msgspec.structs.asdict(log), "has_quorum": has_quorum(state)},
        "looked_seconds_ago": None if looked is None else round(looked, 1),
        "problem": state.problem,
        "kept_from_leading": state.kept_from_leading,
        "fork": fork,
        "lost_events": [one.name for one in lost],
    }


def has_quorum(state: ClusterState) -> bool:
    """Whether enough nats-servers that keep the log were up at the last look, and that is not too old."""
    return state.log is not None and state.log.has_quorum and not _is_unseen(state)


def cluster_causes(state: ClusterState, *, is_connected: bool) -> Iterator[Cause]:
    """Causes in the cluster. Each member reports them, if its nats-server can be asked."""
    if not is_connected:
        return
    if state.leaderless_seconds > LEADERLESS_SECONDS:
        yield Cause(
            "no_leader",
            "unhealthy",
            f"nobody has led the cluster for {state.leaderless_seconds:.0f} s: no command is taken"
            + (f"; this member cannot: {why}" if (why := state.kept_from_leading) else ""),
            state.repair
            or "start a member that may lead; if one runs, its status says what keeps it from it",
        )
    if state.not_shared is not None and state.leader is not None and state.leader.name == state.name:
        yield Cause(
            "backup_not_shared",
            "degraded",
            f"a new member finds no newer backup on the nats-servers, and the log keeps what that would have:"
            f" {state.not_shared}",
            state.sharing_repair or "it is tried again by itself; `hyperpage status` says how it goes",
        )
    if (log := state.log) is not None:
        yield from _log_causes(log, state)
    differing = [
        f"that of {live.member.name} is {abs(live.clock_ahead_ms) / 1_000:.1f} s"
        f" {'ahead' if live.clock_ahead_ms > 0 else 'behind'}"
        for live in state.members
        if abs(live.clock_ahead_ms) > USUAL_LIFE.seconds * 1_000
    ]
    if differing:
        yield Cause(
            "member_clock_differs",
            "degraded",
            f"clocks differ from the nats-server's: {'; '.join(differing)}",
            "have all machines synchronise their clocks: times of events come from them, though nothing else",
        )


def version_notes(state: ClusterState) -> list[Note]:
    """A note if members are of several versions, as they are while one after the other is upgraded."""
    versions = {live.member.name: live.member.version for live in state.members}
    if len(set(versions.values())) < 2:
        return []
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    return [
        Note(
            "members_differ_in_version",
            f"the members of the cluster are of several versions: {said}",
            "upgrade those that are older: they do not follow what they do not know",
        )
    ]


def trailing_causes(trailing: TrailState, settings: Settings) -> Iterator[Cause]:
    """Causes in the lag of the cluster's log: a loss of this machine would lose many answered events."""
    if trailing.lag_seconds > settings.replication_lag_seconds:
        yield Cause(
            "log_behind",
            "degraded",
            f"the log of the cluster lacks {counted(trailing.lag_events, 'answered event')}, the oldest for"
            f" {trailing.lag_seconds:.0f} s, which would be lost with this machine"
            + (f"; {trailing.problem}" if trailing.problem else ""),
            "commands go on; the log gets them by itself once it takes them: look at its nats-servers, and at"
            " `replication_log_mib`",
        )


def lost_notes(lost: Sequence[Path]) -> list[Note]:
    """A note if the cluster went on without events that this member had answered."""
    if not lost:
        return []
    return [
        Note(
            "lost_events_kept",
            f"the cluster went on without events that this one had answered: {', '.join(map(str, lost))}",
            "do again what is needed of them, and move or delete the files",
        )
    ]


def _log_causes(log: LogStanding, state: ClusterState) -> Iterator[Cause]:
    away = [copy.server for copy in log.copies if not copy.available]
    if not has_quorum(state):
        seen = (
            f"it has not said how it is for {state.looked_seconds_ago:.0f} s"
            if log.has_quorum
            else f"{_copies(log)} there, and {counted(log.quorum, 'is', 'are')} needed"
        )
        yield Cause(
            "log_without_quorum",
            "unhealthy",
            f"the log {log.stream} stores nothing: {seen}; no command is answered",
            "bring back the nats-servers that are away; nothing that was answered is lost",
        )
    elif away:
        yield Cause(
            "log_copies_away",
            "degraded",
            f"of the log {log.stream}, {_copies(log)} there; away: {', '.join(away)}",
            "bring back that nats-server: without another one, nothing may be stored",
        )


def _copies(log: LogStanding) -> str:
    copies = counted(log.replicas, "copy", "copies")
    return f"{log.available} of {copies} {'is' if log.available == 1 else 'are'}"


def _is_unseen(state: ClusterState) -> bool:
    return state.looked_seconds_ago is None or state.looked_seconds_ago > UNSEEN_SECONDS


def _role_of(told: str, *, is_leading: bool) -> RoleName:
    """The role of a member; it is the leader if it leads now, since its own announcement may be older."""
    if is_leading:
        return "leader"
    return "follower" if told == "follower" else "member"


def following_causes(follower: FollowerState, settings: Settings) -> Iterator[Cause]:
    """Causes in following: queries are answered with an older state."""
    behind_seconds = (follower.follows_ms if follower.age_ms is None else follower.age_ms) / 1_000
    if follower.problem not in (None, UNTRIED):
        yield Cause(
            "following_stopped",
            "degraded",
            f"nothing comes from the log: {follower.problem}",
            follower.repair or "it goes on by itself once the log is to be had",
        )
    if behind_seconds > settings.follower_behind_seconds:
        yield Cause(
            "follower_behind",
            "degraded",
            f"it is not known to have had all of the log for {behind_seconds:.0f} s, and lacks {follower.lag}"
            " events of what is known",
            "it catches up by itself; if it does not, its disk or the way to the nats-server is too slow",
        )
