"""The metrics of one service, as text: `Metrics`."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ops.health.monitor import Monitor
from ops.metrics.cluster import cluster_families
from ops.metrics.flow import act_families, command_families, http_families, query_families, writer_families
from ops.metrics.http_counts import HttpCounts
from ops.metrics.state import (
    archive_families,
    backup_families,
    broker_families,
    health_families,
    machine_families,
    relay_families,
    role_families,
    room_families,
    store_families,
)
from ops.metrics.work import failure_families, job_families, limit_families
from ops.parts import Parts


class Metrics(Collector):
    """The metrics of one service. Any thread may call it."""

    def __init__(self, parts: Parts, health: Monitor, http: HttpCounts | None) -> None:
        self._parts = parts
        self._health = health
        self._http = http
        # A registry of its own: a process may run several services, one after the other or, in tests, at
        # once.
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics in the format that a scraper prefers, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def collect(self) -> Iterable[Metric]:
        """The families of the service itself, beside those of Python and the process."""
        parts, health = self._parts, self._health
        yield from health_families(parts.version, health)
        yield from role_families(parts.role)
        yield from command_families(parts)
        yield from query_families(parts)
        yield from act_families(parts)
        if (leading := parts.role.leading) is not None:
            yield from writer_families(leading.writer)
            work, now = health.work.state, parts.now_ms()
            yield from (*job_families(work, now), *limit_families(work, now))
            yield from failure_families(leading.writer.statistics.failures)
            yield from relay_families(leading, health)
        if (cluster := parts.cluster) is not None:
            yield from cluster_families(cluster.state)
        yield from store_families(parts, health)
        yield from machine_families(health.look)
        yield from room_families(health.room.state)
        yield from broker_families(parts, health)
        yield from backup_families(health.look.backups)
        if (archive := health.look.archive) is not None:
            yield from archive_families(archive)
        if self._http is not None:
            yield from http_families(self._http)
