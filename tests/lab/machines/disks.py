"""The disk of a real service is full, out of inodes, slow, silent or failing, and then well again."""

import asyncio
import os
import random
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tests.lab.experiment import Experiment, Trial
from tests.lab.machines.applications import Applications
from tests.lab.machines.judging import become_well, require_all
from tests.lab.machines.recorded_disk import RecordedDisk, recorded_disk, why_not
from tests.lab.machines.service_process import ServiceProcess
from tests.lab.machines.starter import Starter, starter

TROUBLES = 6
ANSWERS_BETWEEN = (20, 100)
TROUBLED_AT_MOST_SECONDS = 6.0
# The inodes of a kind of file system that has a fixed number.
FEW_INODES = 1_000
PAGE_BYTES = 4096


class _Scene:
    """A service on a disk that gets into trouble."""

    def __init__(
        self, service: ServiceProcess, applications: Applications, disk: RecordedDisk, chance: random.Random
    ) -> None:
        self._service = service
        self._applications = applications
        self._disk = disk
        self._chance = chance
        self._troubles: list[Callable[[], Awaitable[None]]] = [
            *(self._fill, self._fill, self._take_inodes, self._slow, self._hang, self._fail),
        ]

    async def trouble(self) -> None:
        """Makes one fault for a while; all is well when this returns."""
        how = self._chance.choice(self._troubles)
        print(how.__name__, flush=True)
        await how()
        await become_well(self._service)

    async def _for_a_while(self) -> None:
        await asyncio.sleep(self._chance.random() * TROUBLED_AT_MOST_SECONDS)

    async def _fill(self) -> None:
        """Fills the disk: it leaves a little room, which is soon used up, or none."""
        filler = self._disk.folder / "filler"
        room = self._chance.choice([0, self._chance.randrange(2_000_000)])
        with filler.open("wb") as file:
            size = max(PAGE_BYTES, shutil.disk_usage(self._disk.folder).free - room)
            # It fails if the service has taken the room meanwhile: then there is none left.
            with suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, size - size % PAGE_BYTES)
        await self._for_a_while()
        filler.unlink()

    async def _take_inodes(self) -> None:
        folder = self._disk.folder / "inodes"
        folder.mkdir()
        try:
            for number in range(FEW_INODES):
                (folder / str(number)).touch()
        except OSError:
            """There are none any more."""
        await self._for_a_while()
        shutil.rmtree(folder)

    async def _slow(self) -> None:
        self._disk.behave(f"slow {self._chance.random():.3f}")
        await self._for_a_while()
        self._disk.behave("heal")

    async def _hang(self) -> None:
        self._disk.behave("hang")
        await self._for_a_while()
        self._disk.behave("heal")

    async def _fail(self) -> None:
        """Makes every write fail: the file system then accepts no more until it is mounted again.

        It is then as after a power cut: messages that JetStream acknowledged in the last second may be gone.
        """
        self._disk.behave("fail")
        await self._for_a_while()
        await asyncio.to_thread(self._service.kill)
        self._applications.stored.clear()
        await asyncio.to_thread(self._disk.mount_again)
        await self._service.start()


async def _play(trial: Trial, start: Starter) -> dict[str, int]:
    chance = random.Random(trial.seed)
    kind = chance.choice(["ext4", "xfs"])
    options = ["-N", str(FEW_INODES)] if kind == "ext4" else []
    with recorded_disk(trial.folder, kind, *options) as disk:
        service = ServiceProcess(disk.folder / "data", starter=start)
        service.log = trial.folder / "service.log"
        applications = Applications(lambda: service.runtime.nats_url, chance)
        scene = _Scene(service, applications, disk, chance)
        try:
            await service.start()
            async with applications.at_work():
                for _ in range(TROUBLES):
                    await applications.are_answered(chance.randint(*ANSWERS_BETWEEN))
                    await scene.trouble()
            found = Counter(await require_all(service, applications, stored=applications.stored))
        finally:
            disk.behave("heal")
            service.kill()
    return {"troubles": TROUBLES, **found}


def _run(trial: Trial) -> dict[str, int]:
    with starter() as start:
        return asyncio.run(_play(trial, start))


EXPERIMENT = Experiment(
    name="disks-in-trouble",
    promise="A disk that is full, slow, silent or fails has nothing answered that is not there later, and "
    "nothing lost that was; all is well within 10 s of its being so again.",
    means="A real ext4 or XFS is filled, has its inodes taken, flushes slowly or not at all, or fails each "
    "write until it is mounted again, while applications send and follow.",
    run=_run,
    lacking=lambda: why_not("ext4") or why_not("xfs"),
)
