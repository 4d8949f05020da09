"""`Incarnation`: ensures that only one service serves a store, by a number that each start raises.

The number is in the metadata of the store's stream of events.

    A serves as 7 ── frozen, or cut off ───────────────── looks: 8 is there ─▶ ends
    B starts on a copy ── writes 8, waits until A's last look is too old ─▶ serves as 8

A store's file may be copied, and a service may be frozen while another one starts on the copy, or be cut off
from the network. So a service may take itself for the one that serves for `VALID_SECONDS` after it began a
look that found its own number, by a clock of its own that never jumps. It looks again before that time is
over. Its successor waits for longer than that before it serves. (A lease: C. Gray and D. Cheriton, SOSP
1989.)

A broker may lose the number. A service whose time has run out, and that does not find its number then, writes
it again and waits as a successor does. If another service serves, that one finds the number at its next look.

On a nats-server that belongs to the service, no other service can serve, and none of this is needed.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from bus.transport.jetstream import JetStreamApi, JetStreamError
from hyperpage_client.contract.stream_metadata import INCARNATION
from hyperpage_client.transport.jetstream_answers import StreamReport

LOOK_SECONDS = 1.0
# The pause after a look that failed, for instance because the broker is away.
RETRY_SECONDS = 0.1
# Long enough for a busy broker to answer.
VALID_SECONDS = 4.0
# A successor waits for longer, because clocks do not run equally fast.
WAIT_SECONDS = VALID_SECONDS * 1.1

logger = logging.getLogger(__name__)


class SupersededError(RuntimeError):
    """Another service serves the store."""

    hint = "only one may answer, so this one has ended; to have it serve again, stop the other one first"


class Incarnation:
    """One service's claim to a store: from `take` on, as long as `run` finds no newer number.

    Used on the event loop's thread, except `is_valid`. `instance` tells services with the same number apart.
    `clock` counts seconds from any moment; it should also count while the machine sleeps. `now_ms` is the
    time in milliseconds since the epoch, the lowest number for a service that starts now.
    """

    def __init__(
        self,
        api: JetStreamApi,
        stream: str,
        instance: str,
        clock: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._api = api
        self._stream = stream
        self._clock = clock
        self._now_ms = now_ms
        self._own = (0, instance)
        self._seen_at = self._waits_until = -float("inf")

    @property
    def is_valid(self) -> bool:
        """Whether this service may still rely on being the one that serves. Any thread may ask."""
        return self._clock() - self._seen_at < VALID_SECONDS

    async def take(self, *, has_events: bool = False) -> None:
        """Returns when no other service serves: one that did has noted its end, or its time has run out.

        `has_events` says that the store is not empty, so that another service may have served it before.

        Raises:
            JetStreamError: the stream does not exist, or JetStream refuses.
            SupersededError: another service came at the same time.
        """
        report = await self._api.report(self._stream)
        number, instance = _written(report)
        # Not 1 if the stream was made anew: a service that served before that would have a higher number.
        self._own = (max(number + 1, self._now_ms()), self._own[1])
        await self._write(report)
        # Without a number, the stream was made anew, and another service may still serve.
        if instance or (number == 0 and has_events):
            await asyncio.sleep(WAIT_SECONDS)
        self._waits_until = -float("inf")
        if not await self._look():
            # The number was overwritten, and the service that did it may have looked since.
            await self.take(has_events=has_events)

    async def run(self) -> None:
        """Looks for a newer number again and again.

        Raises:
            SupersededError: there is a newer number.
        """
        seconds = LOOK_SECONDS
        while True:
            await asyncio.sleep(seconds)
            seconds = RETRY_SECONDS
            try:
                if await self._look():
                    seconds = LOOK_SECONDS
            except JetStreamError as error:
                logger.debug("whether another service serves the store cannot be seen: %s", error)

    async def end(self) -> None:
        """Notes that no service serves the store, so that the next one need not wait."""
        try:
            report = await self._api.report(self._stream)
            if _written(report) == self._own:
                self._own = (self._own[0], "")
                await self._write(report)
        except JetStreamError as error:
            logger.debug("the end of serving was not noted: %s", error)

    async def _look(self) -> bool:
        """Whether the stream has this service's number; true, too, if the stream does not exist.

        If it has an older number or none, this service's is written again.

        Raises:
            SupersededError: it has a newer number.
        """
        began = self._clock()
        report = await self._api.report(self._stream)
        found = _written(report)
        if found > self._own:
            self._seen_at = -float("inf")
            raise SupersededError(f"another service ({found[1] or 'ended since'}) has taken over this store")
        if found < self._own and self._seen_at > -float("inf") and not self.is_valid:
            self._waits_until = self._clock() + WAIT_SECONDS
        if report is not None and found < self._own:
            # The stream was made anew, or another program wrote the older metadata back.
            await self._write(report)
            return False
        if began >= self._waits_until:
            self._seen_at = began
        return True

    async def _write(self, report: StreamReport | None) -> None:
        if report is not None:
            number, instance = self._own
            metadata = {**report.metadata, INCARNATION: f"{number} {instance}"}
            await self._api.update({**report.config, "metadata": metadata})


def _written(report: StreamReport | None) -> tuple[int, str]:
    """The number and the instance in a stream's metadata; (0, "") if there are none."""
    text = "" if report is None else report.metadata.get(INCARNATION, "")
    number, _, instance = text.partition(" ")
    return (int(number), instance) if number.isascii() and number.isdigit() else (0, "")
