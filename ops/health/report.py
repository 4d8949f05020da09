"""The report of a service on itself: `report`."""

from typing import Any

import msgspec

from ops.health.causes import Cause, status_of
from ops.health.look import Look
from ops.health.store import Integrity
from ops.parts import Parts


def report(
    parts: Parts,
    look: Look,
    *,
    causes: list[Cause],
    integrity: Integrity,
    commands_per_second: float,
    relay_lag_seconds: float,
    durable_waiting: int | None,
    dead_letters: int | None,
) -> dict[str, Any]:
    """The answer to `service.status`: the status, the reasons for it, and the figures."""
    writer, readers, relay, server = parts.writer, parts.readers, parts.relay.state, parts.nats_server
    statistics = writer.statistics
    return {
        "status": status_of(causes),
        "reasons": [one.text for one in causes],
        "causes": causes,
        "version": parts.version,
        "store_id": parts.origin.store_id,
        "timeline": writer.timeline,
        "position": writer.head.position,
        "store": _store(look, integrity, statistics.cache.hit_rate),
        "writer": {
            "waiting_commands": writer.waiting,
            "groups": statistics.groups,
            "commands": statistics.commands,
            "commands_per_second": round(commands_per_second, 2),
            "events": statistics.events,
            "failed_commits": statistics.failed_commits,
        },
        "readers": {"open": readers.open, "in_use": readers.in_use, "maximum": readers.maximum},
        # One connection writes; each reader that is in use may have a transaction open.
        "connections": {
            "open": 1 + readers.open,
            "open_transactions": readers.in_use + (statistics.busy_since is not None),
        },
        "memory": {
            **msgspec.structs.asdict(look.memory),
            "page_caches_bytes": statistics.cache.used_bytes + readers.cache.used_bytes,
        },
        "disks": look.disks,
        "broker": {
            "embedded": server is not None,
            "connected": parts.is_connected,
            "restarts": 0 if server is None else server.restarts,
            "durable_commands_waiting": durable_waiting,
            "dead_letters": dead_letters,
        },
        "relay": {"position": relay.position, "lag_events": relay.lag, "lag_seconds": relay_lag_seconds},
        "mirrors": [
            {"bucket": one.bucket, "waiting": one.waiting, "problem": one.problem}
            for one in parts.mirrors.state
        ],
        "backups": look.backups,
        "archive": look.archive,
        "dropped_requests": parts.dropped_requests,
    }


def _store(look: Look, integrity: Integrity, cache_hit_rate: float | None) -> dict[str, Any]:
    return {
        "size_bytes": look.store.size_bytes,
        "free_bytes": look.store.free_bytes,
        "wal_bytes": look.store.wal_bytes,
        "query_ms": look.store.query_ms,
        "cache_hit_rate": None if cache_hit_rate is None else round(cache_hit_rate, 4),
        "integrity": integrity,
        "migrations": look.store.migrations or "all applied",
    }
