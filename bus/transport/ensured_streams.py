"""Makes sure that a stream exists, with the subjects and limits that it should have."""

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
    """The same as `found_or_made`, but a broker that is not ready yet is asked again for some seconds."""
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
    """The stream of the name in `config`; if there is none, it is made with `config` and `limits`.

    An existing stream is changed only if it lacks subjects, and, if `is_adjusted`, to have the limits. If the
    broker refuses the change, that is logged, and the stream stays as it is.

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
    """A configuration with these limits, and at least as many replicas as before."""
    wanted = {**config, **limits}
    if "num_replicas" in limits:
        wanted["num_replicas"] = max(limits["num_replicas"], config.get("num_replicas", 1))
    return wanted


async def within_room(
    api: JetStreamApi, configure: Callable[[dict[str, Any]], Awaitable[StreamReport]], config: dict[str, Any]
) -> StreamReport:
    """The answer of `configure`; if the broker has not enough bytes, a part of them is asked for.

    A broker reserves the limit of each of its streams. The part leaves room for other streams. If there are
    too few nats-servers for the replicas, the stream gets fewer, until it is configured again.

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
