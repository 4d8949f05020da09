"""How much there is in the service's streams on the broker, and how much there may be."""

import asyncio
from collections.abc import Mapping

import msgspec

from bus.contract.subjects import BusNames
from bus.transport.jetstream import JetStreamApi
from bus.transport.jetstream_answers import StreamReport


class StreamFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One stream. A limit is `None` where there is none."""

    messages: int
    size_bytes: int
    limit_bytes: int | None
    consumers: int
    limit_consumers: int | None

    def is_filled_to(self, share: float) -> bool:
        """Whether that share of the bytes that it may have is taken."""
        return self.limit_bytes is not None and self.size_bytes >= self.limit_bytes * share

    @property
    def room(self) -> str:
        """The bytes that are taken, for people."""
        of = "" if self.limit_bytes is None else f" of {self.limit_bytes / 2**20:,.1f}"
        return f"{self.size_bytes / 2**20:,.1f}{of} MiB"


async def stream_figures(api: JetStreamApi, names: BusNames) -> Mapping[str, StreamFigures]:
    """Each of the service's streams that is there, by its name.

    Raises:
        JetStreamError: JetStream does not answer.
    """
    streams = [names.events, names.commands, names.results, names.dead_letters]
    streams += [names.stream_of_bucket(bucket) for bucket in names.buckets]
    reports = await asyncio.gather(*map(api.report, streams))
    return {
        stream: _figures(report)
        for stream, report in zip(streams, reports, strict=True)
        if report is not None
    }


def _figures(report: StreamReport) -> StreamFigures:
    limit_bytes, limit_consumers = (report.config.get(name, -1) for name in ("max_bytes", "max_consumers"))
    return StreamFigures(
        messages=report.state.messages,
        size_bytes=report.state.bytes,
        limit_bytes=limit_bytes if limit_bytes > 0 else None,
        consumers=report.state.consumer_count,
        limit_consumers=limit_consumers if limit_consumers > 0 else None,
    )
