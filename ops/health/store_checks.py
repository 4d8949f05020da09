"""`StoreChecks`: checks of the whole store, now and then and when damage is suspected; and what follows.

suspected ──▶ the whole store is checked ──▶ nothing found: refuted
└──▶ confirmed ──▶ a verdict: which copy is wrong, what a repair loses ──▶ repaired without a loss
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from bus.log.damage import Damage
from hyperpage_client.tasks import cancel
from ops.backup.restoring.repairs import MOST_IN_A_DAY
from ops.backup.verdict import Verdict, judge, problem_of_store
from ops.health.chain_watch import ChainWatch
from ops.health.store import Integrity, check_integrity
from ops.settings import Settings

# The first check of the store comes after this time at the latest, even if the interval is longer.
FIRST_CHECK_SECONDS = 60.0
# The pause between two checks of the whole store for suspected damage.
LOOK_AGAIN_SECONDS = 60.0
# The first and the longest pause before a repair that would lose events is judged again.
FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 600.0

logger = logging.getLogger(__name__)


class StoreChecks:
    """The checks of one store; `integrity` is the result of the last one. Belongs to the event loop.

    `known` answers with the last position that this service knows of, `now_ms` with its time.
    """

    def __init__(
        self, settings: Settings, damage: Damage, *, now_ms: Callable[[], int], known: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._now_ms = now_ms
        self._known = known
        self.damage = damage
        self.chain = ChainWatch(settings.store_path, damage, now_ms)
        self.verdict: Verdict | None = None
        self.integrity = Integrity()
        self._next_check = time.monotonic() + min(FIRST_CHECK_SECONDS, self._interval_seconds)
        self._checked_at = time.monotonic()
        self._next_look = 0.0
        self._watching: asyncio.Task[None] | None = None
        self._checking: asyncio.Task[None] | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Starts the repeated check of the hash chain; `start_if_due` starts the other checks."""
        self._watching = asyncio.create_task(self.chain.run(self._interval_seconds), name="check of the log")

    def start_if_due(self) -> None:
        """Begins a check in the background, if one is due, or damage is suspected."""
        is_due = self._interval_seconds > 0 and time.monotonic() >= self._next_check
        is_suspected = self.damage.suspected_at > self._checked_at and time.monotonic() >= self._next_look
        if (is_due or is_suspected) and (self._checking is None or self._checking.done()):
            self._checked_at = time.monotonic()
            check = self._look_at_all() if is_suspected else self._check()
            self._checking = asyncio.create_task(check, name="check of the store")

    async def stop(self) -> None:
        """Ends the check under way before its end."""
        self._stopping.set()
        if self._watching is not None:
            await cancel(self._watching)
        if self._checking is not None:
            await self._checking

    async def damage_to_repair(self, repairs_of_a_day: Callable[[], int]) -> str:
        """Returns what is wrong, once the store is damaged and the service may repair it without a loss."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            await asyncio.sleep(self._settings.health_interval_seconds)
            if not self.damage.is_confirmed or self.verdict is None:
                continue
            is_often = repairs_of_a_day() >= MOST_IN_A_DAY
            if self.verdict.loses_nothing and not is_often:
                return self.verdict.message
            # The archive may be a little behind, and missing sources may come back, for example a bucket.
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            await self._judge()

    @property
    def _interval_seconds(self) -> float:
        return self._settings.integrity_check_minutes * 60

    async def _check(self) -> None:
        self.integrity = await asyncio.to_thread(
            check_integrity, self._settings.store_path, now_ms=self._now_ms(), stopping=self._stopping
        )
        self._next_check = time.monotonic() + self._interval_seconds
        if self.integrity.problem is not None:
            self.damage.found(self.integrity.problem)

    async def _look_at_all(self) -> None:
        """Finds out whether a suspected error is damage of the file, and what repairs it."""
        try:
            problem = await asyncio.to_thread(problem_of_store, self._settings.store_path, self._stopping)
        except Exception as error:  # whatever the error, the check is tried again
            self.damage.suspect(f"it could not be looked at: {error}")
            return
        finally:
            self._next_look = time.monotonic() + LOOK_AGAIN_SECONDS
        if self._stopping.is_set():
            return
        if problem is None:
            self.damage.refute()
            self.verdict = None
        else:
            self.damage.confirm(problem)
            await self._judge()

    async def _judge(self) -> None:
        try:
            self.verdict = await asyncio.to_thread(
                judge, self._settings.places, store_problem=self.damage.problem, known=self._known()
            )
        except Exception as error:  # the damage is reported, whatever is wrong with the copies
            logger.error("which copy of the store is wrong cannot be told: %s", error)  # noqa: TRY400
