"""A service at a steady load for a while: its memory, descriptors and WAL grow to a size, and no more.

Its caches are small, so that they are soon full. Claimed jobs are lost three times, and then set aside: after
two minutes, as many jobs end as are enqueued.
"""

import asyncio
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.lab.experiment import Broken, Experiment, Trial
from tests.lab.machines.applications import Applications
from tests.lab.machines.judging import require_all
from tests.lab.machines.service_process import ServiceProcess

# A variable, for longer runs: LAB_SOAK_MINUTES=60 make lab ARGS='--only soak'.
MINUTES = float(os.environ.get("LAB_SOAK_MINUTES") or 4)
LOOK_SECONDS = 5.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MIB = 1024 * 1024
CACHES = {"HYPERPAGE_HOT_AGGREGATES_KIB": "2048", "HYPERPAGE_WRITER_CACHE_KIB": "4096"}
# More than this from the third quarter to the last is growth; until then, the number of jobs grows.
GROWTH_MIB, GROWTH_DESCRIPTORS, GROWTH_THREADS = 24, 10, 4
# Twice the size at which a WAL checkpoint begins, and a transaction.
WAL_MIB = 256


class _Figures(NamedTuple):
    memory_mib: float
    descriptors: int
    threads: int
    wal_mib: float


def _look(service: ServiceProcess) -> _Figures:
    process = Path(f"/proc/{service.process_id}")
    resident = int((process / "statm").read_text().split()[1]) * PAGE_BYTES
    wal = service.data / "hyperpage.db-wal"
    return _Figures(
        resident / MIB,
        len(list((process / "fd").iterdir())),
        len(list((process / "task").iterdir())),
        wal.stat().st_size / MIB if wal.exists() else 0.0,
    )


def _require_flat(looks: list[_Figures]) -> None:
    quarter = max(1, len(looks) // 4)
    before, after = looks[2 * quarter : 3 * quarter], looks[-quarter:]
    for name, growth in (
        ("memory_mib", GROWTH_MIB),
        ("descriptors", GROWTH_DESCRIPTORS),
        ("threads", GROWTH_THREADS),
    ):
        # The least of each quarter: what a merge of segments or a backup takes for a moment is no growth.
        was, is_now = (min(getattr(one, name) for one in some) for some in (before, after))
        if is_now - was > growth:
            raise Broken(f"{name} grow from {was:.0f} to {is_now:.0f}")
    if (largest := max(one.wal_mib for one in looks)) > WAL_MIB:
        raise Broken(f"the WAL grew to {largest:.0f} MiB")


async def _play(trial: Trial) -> dict[str, int]:
    chance = random.Random(trial.seed)
    service = ServiceProcess(trial.folder / "data", variables=CACHES)
    applications = Applications(lambda: service.runtime.nats_url, chance)
    looks = []
    try:
        await service.start()
        until = time.monotonic() + MINUTES * 60
        async with applications.at_work():
            while time.monotonic() < until:
                await applications.are_answered(1)
                looks.append(_look(service))
                await asyncio.sleep(LOOK_SECONDS)
        print(looks[0], looks[len(looks) // 2], looks[-1], flush=True)
        _require_flat(looks)
        found = Counter(await require_all(service, applications, stored=applications.stored))
    finally:
        service.kill()
    return {"minutes": round(MINUTES), "looks": len(looks), **found}


EXPERIMENT = Experiment(
    name="soak",
    promise="Under a steady load, memory, descriptors, threads and the WAL stay where they are.",
    means="Applications send and follow for four minutes, or as many as LAB_SOAK_MINUTES says.",
    run=lambda trial: asyncio.run(_play(trial)),
    seconds=MINUTES * 60 + 900,
)
