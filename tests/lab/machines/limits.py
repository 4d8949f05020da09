"""A service with few descriptors, or little memory, among clients that hold many connections open."""

import asyncio
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.lab.experiment import Experiment, Trial
from tests.lab.machines.applications import Applications
from tests.lab.machines.judging import become_well, require_all
from tests.lab.machines.service_process import ServiceProcess

ROUNDS = 4
ANSWERS_BETWEEN = (20, 80)
# Few descriptors, as some systems give; the service needs some fifty of them.
DESCRIPTORS = (128, 256, 1_024)
IDLE_CONNECTIONS = 300
HELD_SECONDS = 3.0
MEMORY = Path("/sys/fs/cgroup/memory")
# Less memory than the service takes after some thousand commands.
LITTLE_MIB = (140, 200)


def why_not() -> str | None:
    """The missing part for limiting a process; `None` if nothing is missing."""
    if shutil.which("prlimit") is None:
        return "there is no prlimit"
    return (
        None if os.access(MEMORY / "cgroup.procs", os.W_OK) else "memory is not limited by cgroups (v1) here"
    )


@contextmanager
def _little_memory(name: str, size_mib: int) -> Iterator[tuple[str, ...]]:
    """The command that starts a program whose memory, with that of its children, is limited to `size_mib`."""
    group = MEMORY / name
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(f"{size_mib << 20}")
    try:
        yield "sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"
    finally:
        with suppress(OSError):
            group.rmdir()


async def _crowd(service: ServiceProcess, chance: random.Random) -> None:
    """Opens many connections that send nothing, and closes them."""
    address = urlsplit(service.runtime.nats_url)
    writers = []
    for _ in range(chance.randrange(IDLE_CONNECTIONS)):
        with suppress(OSError):
            writers.append((await asyncio.open_connection(address.hostname, address.port))[1])
    await asyncio.sleep(chance.random() * HELD_SECONDS)
    for writer in writers:
        writer.close()


async def _play(trial: Trial) -> dict[str, int]:
    chance = random.Random(trial.seed)
    descriptors, memory_mib = chance.choice(DESCRIPTORS), chance.randint(*LITTLE_MIB)
    print(f"{descriptors} descriptors, {memory_mib} MiB", flush=True)
    limited = ("prlimit", f"--nofile={descriptors}:{descriptors}")
    ends = 0
    with _little_memory(f"hyperpage-lab-{os.getpid()}", memory_mib) as little:
        before = (*little, *limited) if chance.random() < 0.5 else limited
        service = ServiceProcess(trial.folder / "data", before=before)
        applications = Applications(lambda: service.runtime.nats_url, chance)
        try:
            await service.start()
            async with applications.at_work():
                for _ in range(ROUNDS):
                    await applications.are_answered(chance.randint(*ANSWERS_BETWEEN))
                    await _crowd(service, chance)
                    if service.has_ended:
                        # The system has killed it for lack of memory; a supervisor would start it again.
                        ends += 1
                        await service.start()
                    await become_well(service)
            found = Counter(await require_all(service, applications, stored=applications.stored))
        finally:
            service.kill()
    return {"rounds": ROUNDS, "times out of memory": ends, **found}


EXPERIMENT = Experiment(
    name="little-of-everything",
    promise="With few descriptors and little memory, what is answered is there, and the service serves on, "
    "or serves again after the system has killed it.",
    means="A service that may have 128 to 1,024 descriptors and, half of the time, 140 to 200 MiB with its "
    "nats-server (a cgroup); hundreds connect and say nothing.",
    run=lambda trial: asyncio.run(_play(trial)),
    lacking=why_not,
)
