"""A service whose broker loses or changes its data.

Its nats-server's folder is wiped, or replaced by an older copy; streams are deleted, emptied or limited,
consumers are deleted. The truth is in the store: so every answer stays valid.
"""

import asyncio
import json
import random
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bus.broker.users import RELAY, private_inbox
from tests.lab.experiment import Broken, Experiment, Trial
from tests.lab.machines.applications import Applications
from tests.lab.machines.judging import become_well, require_all
from tests.lab.machines.service_process import ServiceProcess
from tests.lab.machines.starter import Starter, starter
from tests.support.services.raw_nats import RawNats

DAMAGES = 6
ANSWERS_BETWEEN = (20, 150)
EVENTS, COMMANDS, RESULTS = "HYPERPAGE_EVENTS", "HYPERPAGE_COMMANDS", "HYPERPAGE_RESULTS"
MIRRORS = ("KV_hyperpage_app_state", "KV_hyperpage_tool_configs")


class _Broker:
    """The damages of the nats-server of a service."""

    def __init__(self, service: ServiceProcess, chance: random.Random, kept: Path) -> None:
        self._service = service
        self._chance = chance
        self._folder = service.data / "nats"
        self._kept = kept
        self.stream_is_whole = True
        self.damages: list[Callable[[], Awaitable[None]]] = [
            *(
                self._wipe,
                self._roll_back,
                self._roll_back,
                self._delete,
                self._purge,
                self._limit,
                self._age,
            ),
        ]

    async def damage(self) -> None:
        """Does one damage; the service runs when this returns."""
        how = self._chance.choice(self.damages)
        print(how.__name__, flush=True)
        await how()

    def keep(self) -> None:
        """Keeps a copy of its folder for later; the service must not run."""
        shutil.rmtree(self._kept, ignore_errors=True)
        shutil.copytree(self._folder, self._kept)

    async def _wipe(self) -> None:
        self._service.kill()
        shutil.rmtree(self._chance.choice([self._folder, self._folder / "jetstream"]))
        self.stream_is_whole = True
        await self._service.start()

    async def _roll_back(self) -> None:
        self._service.kill()
        if self._kept.exists():
            shutil.rmtree(self._folder)
            shutil.copytree(self._kept, self._folder)
        if self._chance.random() < 0.5:
            self.keep()
        await self._service.start()

    async def _delete(self) -> None:
        stream = self._chance.choice([EVENTS, COMMANDS, RESULTS, *MIRRORS])
        await self._ask(f"STREAM.DELETE.{stream}")
        self.stream_is_whole |= stream == EVENTS

    async def _purge(self) -> None:
        """Empties a stream; that of the events goes on at its sequence."""
        stream = self._chance.choice([EVENTS, EVENTS, RESULTS, *MIRRORS])
        self.stream_is_whole &= stream != EVENTS
        await self._ask(f"STREAM.PURGE.{stream}")

    async def _limit(self) -> None:
        """Limits the stream of events to the newest ones."""
        self.stream_is_whole = False
        config = (await self._ask(f"STREAM.INFO.{EVENTS}"))["config"]
        await self._ask(f"STREAM.UPDATE.{EVENTS}", {**config, "max_msgs": self._chance.randint(1, 50)})

    async def _age(self) -> None:
        """Deletes consumers of the service."""
        for consumer in (await self._ask(f"CONSUMER.NAMES.{COMMANDS}"))["consumers"] or []:
            await self._ask(f"CONSUMER.DELETE.{COMMANDS}.{consumer}")

    async def _ask(self, what: str, body: Any = b"") -> Any:
        logins = json.loads((self._folder / "credentials.json").read_bytes())
        login = logins[RELAY][-1]
        address = self._service.runtime.nats_url.rpartition("@")[2]
        url = f"nats://{login['name']}:{login['password']}@{address}"
        async with await RawNats.connect(url, inbox_prefix=f"{private_inbox(RELAY)}.") as client:
            said = (await client.request(f"$JS.API.{what}", body)).said
        if "error" in said:
            raise Broken(f"{what}: {said['error']}")
        return said


async def _play(trial: Trial, start: Starter) -> dict[str, int]:
    chance = random.Random(trial.seed)
    service = ServiceProcess(trial.folder / "data", starter=start)
    applications = Applications(lambda: service.runtime.nats_url, chance)
    broker = _Broker(service, chance, trial.folder / "kept")
    try:
        await service.start()
        async with applications.at_work():
            for _ in range(DAMAGES):
                await applications.are_answered(chance.randint(*ANSWERS_BETWEEN))
                await broker.damage()
                await become_well(service)
        found = Counter(await require_all(service, applications, stream_is_whole=broker.stream_is_whole))
    finally:
        service.kill()
    return {"damages": DAMAGES, **found}


def _run(trial: Trial) -> dict[str, int]:
    with starter() as start:
        return asyncio.run(_play(trial, start))


EXPERIMENT = Experiment(
    name="brokers-that-lose",
    promise="Whatever a broker loses or has again, each answer stays what it was, nothing is done twice, "
    "subscribers see each event once, and the streams are whole again within 10 s.",
    means="The folder of the nats-server is wiped or put back to an older copy, streams and consumers are "
    "deleted, emptied and limited, while applications send and follow.",
    run=_run,
)
