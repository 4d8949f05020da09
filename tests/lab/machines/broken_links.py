"""The links between clients, the service and an external nats-server are cut, held and halved.

Besides, the service is frozen, and another one is started on a copy of its data: only one of the two answers.
"""

import asyncio
import random
import re
import shutil
import signal
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from bus.broker.server import NatsServer
from bus.broker.users import ADMIN, APP, RELAY, RESPONDER
from tests.lab.experiment import Broken, Experiment, Trial
from tests.lab.machines.applications import Applications
from tests.lab.machines.judging import become_well, require_all
from tests.lab.machines.links import Link
from tests.lab.machines.service_process import ENDS_WITHIN_SECONDS, WELL_WITHIN_SECONDS, ServiceProcess
from tests.lab.machines.starter import Starter, starter
from tests.support.patience import until

TROUBLES = 6
ANSWERS_BETWEEN = (10, 100)
TROUBLED_AT_MOST_SECONDS = 8.0
# How long a frozen service may be taken for a living one.
TAKES_SECONDS = 4.0


class _Scene:
    """A broker, a service on it, applications, and a link to the broker for each of the two."""

    def __init__(self, trial: Trial, chance: random.Random, start: Starter, stack: AsyncExitStack) -> None:
        self._folder = trial.folder
        self._chance = chance
        self._start = start
        self._stack = stack
        self._twins = 0

    async def begin(self) -> None:
        self._broker = await self._stack.enter_async_context(NatsServer(data=self._folder / "broker", port=0))
        port = int(self._broker.url_for(APP).rpartition(":")[2])
        self.to_service = await self._stack.enter_async_context(Link(port))
        self.to_clients = await self._stack.enter_async_context(Link(port))
        self.service = self._on(self._folder / "data")
        await self.service.start()
        self.applications = Applications(lambda: self._url(APP, self.to_clients), self._chance)

    async def trouble(self) -> None:
        """Makes one fault for a while; the service that serves then is well when this returns."""
        how = self._chance.choice([self._links, self._links, self._links, self._twin, self._kill])
        await how()
        await become_well(self.service)

    async def _links(self) -> None:
        link = self._chance.choice([self.to_service, self.to_clients])
        how = self._chance.choice(["cut", "hold", "there", "back"])
        print(f"{how} of {'the service' if link is self.to_service else 'clients'}", flush=True)
        match how:
            case "cut":
                link.cut()
            case "hold":
                link.hold()
            case "there":
                link.hold(back=False)
            case "back":
                link.hold(there=False)
        await asyncio.sleep(self._chance.random() * TROUBLED_AT_MOST_SECONDS)
        link.heal()

    async def _twin(self) -> None:
        """Starts another service on a copy of the frozen one's data; one of them is left, or none.

        A frozen service that thaws early may store more before it is superseded. Its twin sees in the stream
        that it lacks these events, and ends, too; the first one has all.
        """
        print("a twin", flush=True)
        first = self.service
        self._twins += 1
        first.send("service", signal.SIGSTOP)
        shutil.copytree(first.data, self._folder / f"twin-{self._twins}")
        twin = self._on(self._folder / f"twin-{self._twins}")
        twin.launch()
        thaws_within = self._chance.choice([TROUBLED_AT_MOST_SECONDS, TAKES_SECONDS])
        await asyncio.sleep(self._chance.random() * thaws_within)
        first.send("service", signal.SIGCONT)
        await until(lambda: twin.is_announced or twin.has_ended, WELL_WITHIN_SECONDS)
        if not twin.has_ended:
            await until(lambda: first.has_ended, ENDS_WITHIN_SECONDS)
            self.service = twin
            with suppress(Broken):
                await become_well(twin)
        if twin.has_ended:
            print("the first one has more", flush=True)
            self.service = first
            if first.has_ended:
                await first.start()

    async def _kill(self) -> None:
        print("kill", flush=True)
        self.service.kill()
        await self.service.start()

    def _on(self, data: Path) -> ServiceProcess:
        service = ServiceProcess(
            data,
            starter=self._start,
            variables={
                "HYPERPAGE_NATS": self._url(APP, self.to_service),
                "HYPERPAGE_NATS_RELAY": self._url(RELAY, self.to_service),
                "HYPERPAGE_NATS_RESPONDER": self._url(RESPONDER, self.to_service),
                "HYPERPAGE_NATS_ADMIN": self._url(ADMIN, self.to_service),
            },
        )
        self._stack.callback(service.kill)
        return service

    def _url(self, user: str, link: Link) -> str:
        return re.sub(r"\d+$", str(link.port), self._broker.url_for(user))


async def _play(trial: Trial, start: Starter) -> dict[str, int]:
    chance = random.Random(trial.seed)
    async with AsyncExitStack() as stack:
        scene = _Scene(trial, chance, start, stack)
        await scene.begin()
        async with scene.applications.at_work():
            for _ in range(TROUBLES):
                await scene.applications.are_answered(chance.randint(*ANSWERS_BETWEEN))
                await scene.trouble()
        found = Counter(
            await require_all(scene.service, scene.applications, stored=scene.applications.stored)
        )
    return {"troubles": TROUBLES, **found}


def _run(trial: Trial) -> dict[str, int]:
    with starter() as start:
        return asyncio.run(_play(trial, start))


EXPERIMENT = Experiment(
    name="broken-links-and-twins",
    promise="Whatever becomes of the links, and of two services on one history one answers: all is well "
    "within 10 s of the repair, and nothing that was answered or acknowledged is lost or done twice.",
    means="The connections of clients and of the service to a nats-server of an operator are cut, held, and "
    "held in one direction; the service is killed, or frozen while another takes over on a copy of its data.",
    run=_run,
)
