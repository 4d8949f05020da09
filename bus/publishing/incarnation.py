"""Who serves a store now: a number in the metadata of its stream of events, which each start raises.

    A serves as 7 ── frozen, or cut off ───────────────── looks: 8 is there ─▶ ends
    B starts on a copy ── writes 8, waits until A's last look is too old ─▶ serves as 8

A store's file may be copied, and a service may be frozen for as long as another takes to start on the copy,
or be cut off from the network. So what a service knows of itself is good for `VALID_SECONDS` after it began
to look and found its own number, by a clock of its own that never jumps, and meanwhile it looks again. Its
successor waits for longer than that before it serves. (A lease: C. Gray and D. Cheriton, SOSP 1989.)

A broker may lose what was written there. One whose time has run out, and that does not find its number then,
writes it again, and waits as a successor does: another one may serve, which finds that within its next look.

On a nats-server that belongs to the service nobody else can serve, and none of this is needed.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from bus.transport.jetstream import JetStreamApi, JetStreamError
from hyperpage_client.contract.stream_metadata import INCARNATION
from hyperpage_client.transport.jetstream_answers import StreamReport

LOOK_SECONDS = 1.0
# After a look in vain, as when the broker is away.
RETRY_SECONDS = 0.1
# The broker may take a while to answer when much is to be done.
VALID_SECONDS = 4.0
# A successor waits for longer: clocks do not run equally fast.
WAIT_SECONDS = VALID_SECONDS * 1.1

logger = logging.getLogger(__name__)


class SupersededError(RuntimeError):
    """Another service serves the store."""

    hint = "only one may answer, so this one has ended; to have it serve again, stop the other one first"


class Incarnation:
    """One service's turn at a store: from `take` on, as long as `run` finds that it is the newest.

    Used on the event loop's thread, but for `is_valid`. `instance` tells services with the same number apart.
    `clock` counts seconds from any moment; those in which the machine slept should count, too. `now_ms` is
    the time, in milliseconds since the epoch, from which numbers begin.
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
        """Whether this is the one that serves, for all that is known. Any thread may ask."""
        return self._clock() - self._seen_at < VALID_SECONDS

    async def take(self, *, has_events: bool = False) -> None:
        """Returns when whoever served before does so no more, and knows that.

        `has_events` says that somebody may have served before: the store is not empty.

        Raises:
            JetStreamError: the stream is not there, or JetStream refuses.
            SupersededError: another one came at the same time.
        """
        report = await self._api.report(self._stream)
        number, instance = _written(report)
        # Not 1 where the stream was made anew: whoever served before that would have a higher number.
        self._own = (max(number + 1, self._now_ms()), self._own[1])
        await self._write(report)
        # Where there is no number, the stream was made anew, and nobody knows who serves.
        if instance or (number == 0 and has_events):
            await asyncio.sleep(WAIT_SECONDS)
        self._waits_until = -float("inf")
        if not await self._look():
            # Whoever wrote over it may have looked since.
            await self.take(has_events=has_events)

    async def run(self) -> None:
        """Looks again and again.

        Raises:
            SupersededError: there is a newer one.
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
        """Says that nobody serves the store: the next one need not wait."""
        try:
            report = await self._api.report(self._stream)
            if _written(report) == self._own:
                self._own = (self._own[0], "")
                await self._write(report)
        except JetStreamError as error:
            logger.debug("the end of serving was not noted: %s", error)

    async def _look(self) -> bool:
        """Whether nothing else stands there than its own number, which is written again where it does."""
        began = self._clock()
        report = await self._api.report(self._stream)
        found = _written(report)
        if found > self._own:
            self._seen_at = -float("inf")
            raise SupersededError(f"another service ({found[1] or 'ended since'}) has taken over this store")
        if found < self._own and self._seen_at > -float("inf") and not self.is_valid:
            self._waits_until = self._clock() + WAIT_SECONDS
        if report is not None and found < self._own:
            # The stream was made anew, or somebody wrote what had been there before.
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
    """The number and the instance that a stream's metadata has; (0, "") where it has none."""
    text = "" if report is None else report.metadata.get(INCARNATION, "")
    number, _, instance = text.partition(" ")
    return (int(number), instance) if number.isascii() and number.isdigit() else (0, "")
