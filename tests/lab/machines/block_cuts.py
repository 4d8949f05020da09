"""The power is cut while a real service and its nats-server write to a real ext4 or XFS.

All writes that reach the block device are recorded once, while the service starts, works, is killed and
starts again. Then, for random moments, the disk is made as it may be after a cut at that moment, is mounted
(which replays the file system's journal), and the service is started on it.
"""

import asyncio
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ops.targets.places import Places
from tests.lab.experiment import Broken, Experiment, Trial
from tests.lab.machines import recorded_disk
from tests.lab.machines.applications import Applications
from tests.lab.machines.crash_images import CrashImage, crash_images
from tests.lab.machines.judging import require_all
from tests.lab.machines.service_process import ServiceProcess
from tests.lab.machines.starter import Starter, starter
from tests.lab.oracle import require_backups, require_tokens

CUTS = 25
# The number of acts while the disk is recorded, besides the first start.
ACTS = 3
ANSWERS_BETWEEN = (10, 120)
# The time in which nats-server syncs what it has acknowledged.
IDLE_SECONDS = 1.5


class Recording:
    """A recorded disk with its service, and the times at which an operator's commands were done."""

    def __init__(
        self,
        kind: str,
        disk: recorded_disk.RecordedDisk,
        service: ServiceProcess,
        applications: Applications,
        chance: random.Random,
    ) -> None:
        self.kind = kind
        self.disk = disk
        self.applications = applications
        self._service = service
        self._chance = chance
        self.backups: dict[str, int] = {}
        self.tokens: dict[str, int] = {}
        self.revoked: dict[str, tuple[int, int]] = {}
        """From when on a token may be revoked, and from when on it is."""

    async def play(self, number: int) -> None:
        """Starts the service, lets it serve, and does so many acts to it."""
        await self._service.start()
        acts: list[Callable[[], Awaitable[None]]] = [
            *(self._kill, self._kill_server, self._restart, self._back_up, self._change_tokens, self._idle),
        ]
        try:
            async with self.applications.at_work():
                await self.applications.are_answered(self._chance.randint(*ANSWERS_BETWEEN))
                for _ in range(number):
                    await self._chance.choice(acts)()
                    await self.applications.are_answered(self._chance.randint(*ANSWERS_BETWEEN))
        finally:
            self._service.kill()

    async def _kill(self) -> None:
        self._service.kill()
        await self._service.start()

    async def _kill_server(self) -> None:
        self._service.send("nats-server", signal.SIGKILL)

    async def _restart(self) -> None:
        await self._service.stop()
        await self._service.start()

    async def _back_up(self) -> None:
        made = await self._do("backup", "create")
        self.backups[Path(made["path"]).name] = time.monotonic_ns()

    async def _change_tokens(self) -> None:
        token = (await self._do("token", "create", f"token-{len(self.tokens)}"))["id"]
        self.tokens[token] = time.monotonic_ns()
        if self._chance.random() < 0.5:
            began = time.monotonic_ns()
            await self._do("token", "revoke", token)
            self.revoked[token] = began, time.monotonic_ns()

    async def _idle(self) -> None:
        await asyncio.sleep(IDLE_SECONDS)

    async def _do(self, *command: str) -> Any:
        return await self._service.command(*command).answer()


def record(kind: str, folder: Path, chance: random.Random, start: Starter, *, acts: int = ACTS) -> Recording:
    """The recording of the disk of a service at work, with the answers that it gave meanwhile."""
    with recorded_disk.recorded_disk(folder, kind) as disk:
        service = ServiceProcess(disk.folder / "data", starter=start)
        service.log = folder / "recorded.log"
        applications = Applications(lambda: service.runtime.nats_url, chance)
        recording = Recording(kind, disk, service, applications, chance)
        asyncio.run(recording.play(acts))
    return recording


def judge(
    recording: Recording, cuts: int, chance: random.Random, folder: Path, start: Starter
) -> dict[str, int]:
    """Starts a service on the disk after each of so many cuts, and checks everything.

    Raises:
        Broken: something is not there, or the service does not start.
    """
    counts: Counter[str] = Counter()
    disk = recording.disk
    for crash in crash_images(disk.base, disk.journal, cuts, chance, folder):
        try:
            counts.update(_judge(crash, folder, recording, recording.applications.as_of(crash.at_ns), start))
        except AssertionError as error:
            # The image is kept, so that the break can be examined.
            raise Broken(f"after a cut {crash.said} on {recording.kind}: {error}") from error
    return {"cuts": cuts, **counts}


def _judge(
    crash: CrashImage, folder: Path, recording: Recording, applications: Applications, start: Starter
) -> dict[str, int]:
    where = folder / "cut"
    where.mkdir(exist_ok=True)
    service = ServiceProcess(where / "data", starter=start)
    service.log = folder / "cut.log"
    service.log.unlink(missing_ok=True)
    applications.use(lambda: service.runtime.nats_url)
    with recorded_disk.mounted(crash.image, where, recording.kind):
        try:
            found = asyncio.run(_started_and_judged(service, applications))
            good = [one for one, at in recording.tokens.items() if at < crash.at_ns]
            maybe = [one for one, (began, _) in recording.revoked.items() if began < crash.at_ns]
            revoked = [one for one, (_, ended) in recording.revoked.items() if ended < crash.at_ns]
            require_tokens(service.data, set(good) - set(maybe), revoked)
            listed = [one for one, at in recording.backups.items() if at < crash.at_ns]
            if listed:
                _require_backups(service.data, listed, folder / "scratch")
        finally:
            service.kill()
    return found


def _require_backups(data: Path, listed: list[str], scratch: Path) -> None:
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    places = Places(store=data / "hyperpage.db", backups=data / "backups", archive=data / "archive")
    require_backups(places, listed, scratch)


async def _started_and_judged(service: ServiceProcess, applications: Applications) -> dict[str, int]:
    await service.start()
    return await require_all(service, applications)


def _run(kind: str, trial: Trial) -> dict[str, int]:
    chance = random.Random(trial.seed)
    with starter() as start:
        recording = record(kind, trial.folder, chance, start)
        return judge(recording, CUTS, chance, trial.folder, start)


def _experiment(kind: str) -> Experiment:
    return Experiment(
        name=f"power-cuts-on-{kind}",
        promise="After a power cut, whatever was answered is there once, the service starts by itself, and "
        "everybody goes on where they were.",
        seconds=3600.0,
        means=f"A real {kind} on a block device whose writes are remembered: at random moments, the disk "
        "has what was flushed and nothing, all, some or torn parts of the rest; both start on it.",
        run=lambda trial: _run(kind, trial),
        lacking=lambda: recorded_disk.why_not(kind),
    )


EXT4, XFS = _experiment("ext4"), _experiment("xfs")
