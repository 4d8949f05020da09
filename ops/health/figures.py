"""The figures of the report, by the part of the service that they belong to."""

from collections.abc import Mapping, Sequence
from typing import Any

from bus.publishing.mirror import MirrorState
from bus.publishing.relay import RelayState
from bus.replication.following import FollowerState
from bus.writing.writer import Writer
from ops.health.store import StoreLook
from ops.health.store_checks import StoreChecks
from ops.health.streams import StreamFigures
from ops.parts import Leading, Parts


def store_figures(look: StoreLook, checks: StoreChecks, leading: Leading | None) -> dict[str, Any]:
    """The store's sizes in bytes and times in milliseconds, and the findings of the last checks."""
    hit_rate = None if leading is None else leading.writer.statistics.cache.hit_rate
    return {
        "size_bytes": look.size_bytes,
        "free_bytes": look.free_bytes,
        "wal_bytes": look.wal_bytes,
        "query_ms": look.query_ms,
        "cache_hit_rate": None if hit_rate is None else round(hit_rate, 4),
        "integrity": checks.integrity,
        "chain": checks.chain.state,
        "migrations": look.migrations or "all applied",
    }


def writer_figures(writer: Writer, commands_per_second: float) -> dict[str, Any]:
    """The commands that wait for the writer, and its counts since the start."""
    statistics = writer.statistics
    return {
        "waiting_commands": writer.waiting,
        "waiting_seconds": round(writer.queue.wait_seconds, 3),
        "groups": statistics.groups,
        "commands": statistics.commands,
        "commands_per_second": round(commands_per_second, 2),
        "events": statistics.events,
        "failed_commits": statistics.failed_commits,
    }


def broker_figures(parts: Parts, streams: Mapping[str, StreamFigures]) -> dict[str, Any]:
    """The connection to the broker, and its streams; counts are `None` while it does not answer."""
    server, leading = parts.nats_server, parts.role.leading
    return {
        "embedded": server is not None,
        "connected": parts.is_connected,
        "restarts": 0 if server is None else server.restarts,
        "durable_commands_waiting": messages_in(streams, parts.names.commands),
        "dead_letters": messages_in(streams, parts.names.dead_letters),
        "dead_letters_not_kept": 0 if leading is None else leading.durable.unkept_letters,
        "streams": streams,
    }


def relay_figures(relay: RelayState, lag_seconds: float) -> dict[str, Any]:
    """The position up to which events are published, and the lag."""
    return {"position": relay.position, "lag_events": relay.lag, "lag_seconds": lag_seconds}


def replication_figures(follower: FollowerState) -> dict[str, Any]:
    """How far a follower is behind the log, and how long ago it was known to have all of it."""
    return {
        "log_position": follower.log_position,
        "lag_events": follower.lag,
        "age_seconds": None if follower.age_ms is None else follower.age_ms / 1_000,
        "problem": follower.problem,
    }


def mirror_figures(mirrors: Sequence[MirrorState]) -> list[dict[str, Any]]:
    """The number of keys that each bucket still lacks, and why."""
    return [{"bucket": one.bucket, "waiting": one.waiting, "problem": one.problem} for one in mirrors]


def messages_in(streams: Mapping[str, StreamFigures], stream: str) -> int | None:
    """How many messages a stream has; `None` if that is not known."""
    figures = streams.get(stream)
    return None if figures is None else figures.messages
