"""The machine's clock jumps there and back under a real service, which sees it through libfaketime."""

import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.lab.experiment import Broken, Experiment, Trial
from tests.lab.machines.applications import Applications
from tests.lab.machines.judging import require_all
from tests.lab.machines.service_process import ServiceProcess
from tests.support.patience import patiently, until
from tests.support.services.raw_nats import RawNats
from tests.support.stores.looking_inside import log_of

LIBRARIES = (
    Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"),
    Path("/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"),
    Path("/usr/lib/faketime/libfaketimeMT.so.1"),
)
JUMPS = 6
ANSWERS_BETWEEN = (10, 60)
# In seconds: a correction, minutes, an hour of summer time, a day, a year, there and back. The service
# follows a clock that is ahead by less than a minute; once that is back, it reports that it is ahead itself.
DISTANCES = (0.5, 5, 300, 3_600, 86_400, 365 * 86_400)
LEASE_MS = 1_000
# An expired lease is rescued within 2 s; the job is due again within 10 s.
RESCUED_WITHIN_SECONDS = patiently(1 + 2 + 10)


def why_not() -> str | None:
    """The missing part for setting the clock of a process; `None` if nothing is missing."""
    return None if any(one.exists() for one in LIBRARIES) else "there is no libfaketime"


class _Clock:
    """The clock of a service, wrong by the seconds that are `set`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    def set(self, offset_seconds: float) -> None:
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{offset_seconds:+f}\n")
        beside.rename(self._file)

    @property
    def variables(self) -> dict[str, str]:
        library = next(one for one in LIBRARIES if one.exists())
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            # The monotonic clock stays right, since it can't be set on a real machine either.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }


async def _require_time_goes_on(service: ServiceProcess, number: int) -> None:
    """Checks that a lease ends, its job is rescued and claimed again soon, as with a right clock."""
    async with await RawNats.connect(service.runtime.nats_url) as client:
        queue = f"queue-{number}"
        job = {"type": "timed", "name": "a job", "queue": queue, "id": f"timed-{number}"}
        claim = {"worker": "w", "queue": queue, "limit": 1, "lease_ms": LEASE_MS}
        await _accepted(client, "jobs.enqueue", job)
        if len((await _accepted(client, "jobs.claim", claim))["result"]["jobs"]) != 1:
            raise Broken("a job that was just enqueued is not claimed")

        async def is_claimed_again() -> bool:
            return bool((await _accepted(client, "jobs.claim", claim))["result"]["jobs"])

        began = time.monotonic()
        try:
            await until(is_claimed_again, RESCUED_WITHIN_SECONDS)
        except TimeoutError:
            raise Broken(
                f"a lease of {LEASE_MS} ms holds for {RESCUED_WITHIN_SECONDS:g} s and longer"
            ) from None
        print(f"rescued after {time.monotonic() - began:.1f} s", flush=True)


async def _accepted(client: RawNats, name: str, body: Any) -> Any:
    answer = await client.command(name, body)
    if answer.code is not None:
        raise Broken(f"{name} is refused: {answer.body!r}")
    return answer.said


async def _play(trial: Trial) -> dict[str, int]:
    chance = random.Random(trial.seed)
    clock = _Clock(trial.folder / "clock")
    service = ServiceProcess(trial.folder / "data", variables=clock.variables)
    applications = Applications(lambda: service.runtime.nats_url, chance)
    try:
        await service.start()
        async with applications.at_work():
            for number in range(JUMPS):
                await applications.are_answered(chance.randint(*ANSWERS_BETWEEN))
                offset = chance.choice(DISTANCES) * chance.choice([-1, 1])
                print(f"the clock is wrong by {offset} s", flush=True)
                clock.set(offset)
                await applications.are_answered(chance.randint(*ANSWERS_BETWEEN))
                await _require_time_goes_on(service, number)
                clock.set(0)
        applications.commands |= _ids_of_the_test(service)
        found = Counter(await require_all(service, applications, stored=applications.stored))
        times = [row.recorded_at for row in log_of(service.data / "hyperpage.db")]
        if times != sorted(times):
            raise Broken("times go back in the log")
    finally:
        service.kill()
    return {"jumps": JUMPS, **found}


def _ids_of_the_test(service: ServiceProcess) -> dict[str, Any]:
    """The ids that the service made for the commands of this test."""
    rows = log_of(service.data / "hyperpage.db")
    return {
        row.command_id: ("", {}) for row in rows if row.command_id and row.stream.startswith("jobs/timed-")
    }


EXPERIMENT = Experiment(
    name="clocks-that-jump",
    promise="However the clock jumps, and back: commands are answered, a lease ends in time and its job is "
    "due again, times in the log never go back, and all is well once the clock is right.",
    means="The clock of the service is set ahead and back by half a second to a year, while applications "
    "send and follow.",
    run=lambda trial: asyncio.run(_play(trial)),
    lacking=why_not,
)
