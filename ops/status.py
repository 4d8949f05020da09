"""How the service is: `healthy`, `degraded` or `unhealthy`, with the reasons and the figures behind them."""

from typing import TYPE_CHECKING, Any

from bus.waiting import UNTRIED

if TYPE_CHECKING:
    from ops.service import Service

# An event is through within 5 s after its answer; more is worth a look.
RELAY_LAG_DEGRADED_MS = 5_000


def service_status(service: "Service") -> dict[str, Any]:
    """The answer to `service.status`. Any thread may ask; it reads the folder of the backups."""
    reasons = [*_broker_reasons(service), *_store_reasons(service), *_backup_reasons(service)]
    levels = {level for level, _ in reasons}
    status = "unhealthy" if "unhealthy" in levels else "degraded" if "degraded" in levels else "healthy"
    writer, readers, relay = service.writer, service.readers, service.relay.state
    return {
        "status": status,
        "reasons": [message for _, message in reasons],
        "version": service.version,
        "store_id": service.origin.store_id,
        "timeline": writer.timeline,
        "position": writer.head.position,
        "writer": {
            "waiting_commands": writer.waiting,
            "groups": writer.statistics.groups,
            "commands": writer.statistics.commands,
            "events": writer.statistics.events,
            "failed_commits": writer.statistics.failed_commits,
        },
        "readers": {"open": readers.open, "in_use": readers.in_use},
        "relay": {"position": relay.position, "lag_events": relay.lag},
        "mirrors": [
            {"bucket": one.bucket, "waiting": one.waiting, "problem": one.problem}
            for one in service.mirrors.state
        ],
        "backups": service.backups.state,
        "archive": service.archiver.state,
        "dropped_requests": service.dropped_requests,
    }


def _broker_reasons(service: "Service") -> list[tuple[str, str]]:
    reasons = []
    server, relay = service.nats_server, service.relay.state
    if server is not None and not server.alive:
        reasons.append(("unhealthy", f"the embedded nats-server is down: {server.failure}"))
    if not relay.healthy:
        repair = f"; {relay.repair}" if relay.repair else ""
        reasons.append(("unhealthy", f"the relay publishes nothing: {relay.problem}{repair}"))
    elif relay.oldest_unpublished_at is not None:
        waiting_ms = service.now_ms() - relay.oldest_unpublished_at
        if waiting_ms > RELAY_LAG_DEGRADED_MS:
            reasons.append(("degraded", f"the relay is {waiting_ms / 1000:.0f} s behind"))
    reasons.extend(
        ("degraded", f"the mirror {one.bucket} is not kept: {one.problem}")
        for one in service.mirrors.state
        if not one.healthy
    )
    return reasons


def _store_reasons(service: "Service") -> list[tuple[str, str]]:
    failure = service.writer.statistics.last_failure
    if failure is not None:
        return [("unhealthy", f"the store cannot be written: {failure}")]
    return []


def _backup_reasons(service: "Service") -> list[tuple[str, str]]:
    state = service.backups.state
    reasons = []
    if state.failure is not None:
        reasons.append(("degraded", state.failure))
    if state.stale:
        reasons.append(("degraded", "the last backup is older than twice the interval between two"))
    archive = service.archiver.state
    if archive.problem not in (None, UNTRIED):
        reasons.append(("degraded", f"the archive is not kept: {archive.problem}"))
    return reasons
