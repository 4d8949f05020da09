"""Makes sure that a stream is there, as it should be, within limits."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from bus.transport.jetstream import JetStreamApi, JetStreamError
from bus.transport.stream_limits import SMALLEST_BYTES
from hyperpage_client.transport.jetstream_answers import NO_PEERS, STORAGE_EXCEEDED, StreamReport

_TRIES = 20
_PAUSE_SECONDS = 0.25
logger = logging.getLogger(__name__)


async def ensure_stream(
    api: JetStreamApi, config: dict[str, Any], limits: dict[str, Any], *, is_adjusted: bool
) -> StreamReport:
    """The stream of that name; otherwise as `found_or_made`.

    A broker that is still getting ready is asked again for some seconds.
    """
    for remaining in range(_TRIES, 0, -1):
        try:
            return await found_or_made(api, config, limits, is_adjusted=is_adjusted)
        except JetStreamError:
            if remaining == 1:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)
    raise AssertionError("unreachable")


async def found_or_made(
    api: JetStreamApi, config: dict[str, Any], limits: dict[str, Any], *, is_adjusted: bool
) -> StreamReport:
    """The stream of that name; it is made as `config` and `limits` say if there is none.

    One that is there stays as it is, but for subjects that it lacks, and for its limits, if it `is_adjusted`.
    Where the broker refuses that, it is logged, and the stream goes on without.

    Raises:
        JetStreamError: the broker refuses, or does not answer.
    """
    name = config["name"]
    report = await api.report(name)
    if report is None:
        return await within_room(api, api.create, config | limits)
    wanted = limited(report.config, limits) if is_adjusted else dict(report.config)
    if not set(config["subjects"]) <= set(wanted.get("subjects", ())):
        wanted["subjects"] = config["subjects"]
    if said(wanted) == said(report.config):
        return report
    try:
        return await within_room(api, api.update, wanted)
    except JetStreamError as error:
        logger.warning("the limits of %s stay as they are: %s", name, error)
        return report


def limited(config: dict[str, Any], limits: dict[str, Any]) -> dict[str, Any]:
    """A configuration with these limits; on no fewer nats-servers than before."""
    wanted = {**config, **limits}
    if "num_replicas" in limits:
        wanted["num_replicas"] = max(limits["num_replicas"], config.get("num_replicas", 1))
    return wanted


async def within_room(
    api: JetStreamApi, configure: Callable[[dict[str, Any]], Awaitable[StreamReport]], config: dict[str, Any]
) -> StreamReport:
    """What `configure` answers; where a broker has not so many bytes, for a part of them.

    A broker sets aside the most that each of its streams may take. The part leaves room for other streams.
    Where too few nats-servers are there for so many replicas, there are fewer, until it is asked for again.

    Raises:
        JetStreamError: the broker refuses for another reason, has no room at all, or does not answer.
    """
    asked_bytes = fitting_bytes = config.get("max_bytes", -1)
    report = None
    while report is None:
        try:
            report = await configure(config | ({"max_bytes": fitting_bytes} if asked_bytes > 0 else {}))
        except JetStreamError as error:
            if error.code in NO_PEERS and config.get("num_replicas", 1) > 1:
                config = {**config, "num_replicas": config["num_replicas"] - 1}
                logger.warning("%s: %s", config["name"], error)
                continue
            fitting_bytes //= 2
            if error.code != STORAGE_EXCEEDED or fitting_bytes < SMALLEST_BYTES:
                raise
    if fitting_bytes == asked_bytes:
        return report
    part_bytes = max(fitting_bytes // 4, SMALLEST_BYTES)
    logger.warning(
        "%s may take %d bytes rather than %d: nats-server has not so many for it",
        config["name"],
        part_bytes,
        asked_bytes,
    )
    return await api.update(report.config | {"max_bytes": part_bytes})


def said(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as a broker reports it, which leaves out what is zero or off."""
    return {key: value for key, value in config.items() if value not in (0, None)}
