"""The times at which a worker claims: how it reacts to events, by the loop's clock."""

import asyncio
from typing import Any

import msgspec
import pytest

from hyperpage_client.asking.connection import ClientConnection
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.worker.wake_ups import MAXIMUM_TIMES, WakeUps

TIME = "2026-01-01T00:00:00.000Z"
TIME_MS = 1_767_225_600_000


class Heard:
    """Wake-ups of a worker on `default` that has sync jobs, and has just found nothing."""

    def __init__(self, poll_seconds: float = 3_600) -> None:
        self.changed = asyncio.Event()
        self.concerned: list[str] = []
        self.wake_ups = WakeUps(
            # Not connected: nothing is sent or received in these tests.
            ClientConnection(),
            BusNames(),
            queue="default",
            types=["sync"],
            poll_seconds=poll_seconds,
            wake=self.changed.set,
            concern=self.concerned.append,
        )
        assert self.wake_ups.is_due, "a worker claims when it starts"
        self.claim()

    def claim(self, *, found: bool = False, waits_for_ends: bool = False) -> None:
        self.wake_ups.begin()
        self.wake_ups.end(found=found, waits_for_ends=waits_for_ends)

    def hear(self, change: str, **data: Any) -> None:
        kind = f"hyperpage.job.{change}.v1"
        event = {"type": kind, "subject": "jobs/a/b", "time": TIME, "data": data}
        self.wake_ups._hear(f"hyperpage.evt.v1.jobs.a=2Fb.{change}", "", None, msgspec.json.encode(event))

    async def is_due(self) -> None:
        """Returns when a claim is due, having been woken for it."""
        async with asyncio.timeout(30):
            while not self.wake_ups.is_due:
                self.changed.clear()
                await self.changed.wait()


@pytest.mark.parametrize(
    ("change", "data"),
    [
        ("enqueued", {"type": "sync"}),
        ("enqueued", {"type": "sync", "queue": "default", "run_at": TIME_MS}),
        ("enqueued", {"type": "sync", "run_at": TIME_MS + 50}),
        ("released", {}),
        ("retried", {"max_attempts": 6}),
        ("snoozed", {"run_at": TIME_MS + 50}),
        ("attempt_failed", {"error": "e", "next_run_at": TIME_MS + 50}),
        ("rescued", {"next_run_at": TIME_MS - 50}),
    ],
)
def test_a_claim_follows_what_makes_a_job_due(change: str, data: dict[str, Any]):
    async def play() -> None:
        heard = Heard()
        assert not heard.wake_ups.is_due
        heard.hear(change, **data)
        await heard.is_due()
        heard.claim()
        assert not heard.wake_ups.is_due

    asyncio.run(play())


@pytest.mark.parametrize(
    ("change", "data"),
    [
        ("enqueued", {"type": "sync", "queue": "other"}),
        ("enqueued", {"type": "other"}),
        ("enqueued", {"type": "sync", "held": True}),
        ("enqueued", {"type": "sync", "waiting_for": ["b"]}),
        ("retried", {"waiting_for": ["b"]}),
        ("timed_out", {"error": "e"}),
        ("released", {"run_at": "no time"}),
    ],
)
def test_nothing_follows_what_makes_no_job_of_ours_due(change: str, data: dict[str, Any]):
    async def play() -> None:
        heard = Heard()
        heard.hear(change, **data)
        # The event behind it is heard next.
        heard.hear("snoozed", run_at=TIME_MS + 200)
        assert len(heard.wake_ups._times) == 1

    asyncio.run(play())


@pytest.mark.parametrize(
    ("change", "data"),
    [
        ("completed", {}),
        ("cancelled", {}),
        ("timed_out", {"error": "e"}),
        ("attempt_failed", {"error": "e", "next_run_at": TIME_MS + 86_400_000}),
    ],
)
def test_who_waits_for_others_to_end_claims_when_one_does(change: str, data: dict[str, Any]):
    async def play() -> None:
        heard = Heard()
        heard.claim(waits_for_ends=True)
        heard.hear(change, **data)
        await heard.is_due()
        heard.claim()
        heard.hear(change, **data)
        assert not heard.wake_ups.is_due, "nobody waits any more"

    asyncio.run(play())


def test_a_later_time_is_not_crowded_out_by_any_number_of_events():
    async def play() -> None:
        heard = Heard()
        for number in range(2 * MAXIMUM_TIMES):
            heard.hear("snoozed", run_at=TIME_MS + 86_400_000 - number)
        heard.hear("snoozed", run_at=TIME_MS + 3_600_000)
        for _ in range(2 * MAXIMUM_TIMES):
            heard.hear("released")
        await heard.is_due()
        heard.claim()

        times = heard.wake_ups._times
        assert len(times) < MAXIMUM_TIMES
        assert times[1] - times[0] > 3_600

    asyncio.run(play())


def test_what_is_heard_while_a_claim_is_on_its_way_makes_another_one_due():
    async def play() -> None:
        heard = Heard()
        heard.wake_ups.begin()
        heard.hear("released")
        heard.wake_ups.end(found=False)
        await heard.is_due()

    asyncio.run(play())


def test_an_end_that_is_heard_before_a_claim_is_known_to_wait_for_one_makes_another_one_due():
    async def play() -> None:
        heard = Heard()
        heard.wake_ups.begin()
        heard.hear("completed")
        heard.wake_ups.end(found=False, waits_for_ends=True)
        await heard.is_due()
        heard.claim(waits_for_ends=True)
        assert not heard.wake_ups.is_due

    asyncio.run(play())


def test_a_claim_that_found_something_is_followed_by_another_one_at_once():
    async def play() -> None:
        heard = Heard()
        heard.hear("released")
        await heard.is_due()
        heard.claim(found=True)
        assert heard.wake_ups.is_due

    asyncio.run(play())


def test_events_of_running_jobs_are_passed_on_by_the_job_s_id():
    async def play() -> list[str]:
        heard = Heard()
        for change in ("cancel_requested", "timed_out", "attempt_timed_out", "rescued", "released"):
            heard.hear(change)
        return heard.concerned

    assert asyncio.run(play()) == ["a/b"] * 4


def test_a_claim_that_found_nothing_for_want_of_calls_is_made_again_when_it_was_told():
    async def play() -> None:
        heard = Heard()
        heard.wake_ups.begin()
        clock = asyncio.get_running_loop().time
        before = clock()
        heard.wake_ups.end(found=False, retry_after_ms=120)
        assert before + 0.1 < heard.wake_ups._next <= clock() + 0.15
        await heard.is_due()

    asyncio.run(play())


def test_a_poll_is_never_later_than_it_would_be_since_other_jobs_may_be_due_unheard():
    async def play() -> None:
        heard = Heard(poll_seconds=10)
        heard.wake_ups.begin()
        heard.wake_ups.end(found=False, retry_after_ms=3_600_000)
        assert heard.wake_ups._next - asyncio.get_running_loop().time() <= 12.5
        heard.hear("released")
        await heard.is_due()

    asyncio.run(play())
