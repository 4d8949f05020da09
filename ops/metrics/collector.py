"""The metrics of one service, as text: `Metrics`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ops.metrics.flow import command_families, http_families, query_families, writer_families
from ops.metrics.state import (
    backup_families,
    broker_families,
    health_families,
    job_families,
    machine_families,
    relay_families,
    store_families,
)

if TYPE_CHECKING:
    from ops.service.composition import Service


class Metrics(Collector):
    """What is to be told of one service. Any thread may ask."""

    def __init__(self, service: "Service") -> None:
        self._service = service
        # One of its own: a process may run several services, one after the other or, in tests, at once.
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics in the format that a scraper prefers, and the content type of that."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def collect(self) -> Iterable[Metric]:
        """The families of our own."""
        service = self._service
        yield from health_families(service)
        yield from command_families(service)
        yield from query_families(service)
        yield from writer_families(service.writer)
        yield from job_families(service.writer)
        yield from store_families(service)
        yield from machine_families(service.health.look)
        yield from relay_families(service)
        yield from broker_families(service)
        yield from backup_families(service.health.look)
        if service.http is not None:
            yield from http_families(service.http.counts)
