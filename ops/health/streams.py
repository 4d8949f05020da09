"""The sizes of the service's streams on the broker, and their limits."""

import asyncio
from collections.abc import Mapping

import msgspec

from bus.transport.jetstream import JetStreamApi
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.jetstream_answers import StreamReport


class StreamFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one stream. A limit is `None` if there is none."""

    messages: int
    subjects: int
    limit_messages: int | None
    size_bytes: int
    limit_bytes: int | None
    consumers: int
    limit_consumers: int | None

    def is_filled_to(self, share: float) -> bool:
        """Whether the stream has that share of the bytes, or of the messages, that it may have."""
        limits = ((self.size_bytes, self.limit_bytes), (self.messages, self.limit_messages))
        return any(limit is not None and taken >= limit * share for taken, limit in limits)

    @property
    def room(self) -> str:
        """The bytes and messages of the stream, and their limits, for people."""
        of_bytes = "" if self.limit_bytes is None else f" of {self.limit_bytes / 2**20:,.1f}"
        of_messages = "" if self.limit_messages is None else f" of {self.limit_messages:,}"
        return f"{self.size_bytes / 2**20:,.1f}{of_bytes} MiB in {self.messages:,}{of_messages} messages"


async def stream_figures(api: JetStreamApi, names: BusNames, *, has_log: bool) -> Mapping[str, StreamFigures]:
    """The figures of the service's streams that exist, by name; `has_log` adds the cluster's log.

    Raises:
        JetStreamError: JetStream does not answer.
    """
    streams = [names.events, names.commands, names.results, names.dead_letters]
    streams += [names.stream_of_bucket(bucket) for bucket in names.buckets]
    streams += [names.log] if has_log else []
    reports = await asyncio.gather(*map(api.report, streams))
    return {
        stream: _figures(report)
        for stream, report in zip(streams, reports, strict=True)
        if report is not None
    }


def _figures(report: StreamReport) -> StreamFigures:
    names = ("max_bytes", "max_msgs", "max_consumers")
    limit_bytes, limit_messages, limit_consumers = (report.config.get(name, -1) for name in names)
    return StreamFigures(
        messages=report.state.messages,
        subjects=report.state.num_subjects,
        limit_messages=limit_messages if limit_messages > 0 else None,
        size_bytes=report.state.bytes,
        limit_bytes=limit_bytes if limit_bytes > 0 else None,
        consumers=report.state.consumer_count,
        limit_consumers=limit_consumers if limit_consumers > 0 else None,
    )
