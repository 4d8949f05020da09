"""Histories of keys, as concurrent clients see them while service and broker are killed, are linearizable."""

import asyncio
import itertools
import random
import time
from pathlib import Path

from hyperpage_client import connect
from hyperpage_client.asking.connection import ClosedError, Unreachable
from tests.lab.experiment import Broken, Experiment, Trial
from tests.lab.keys import KeyUser
from tests.lab.linearizability import Operation
from tests.lab.registers import check_keys
from tests.support.services.killable import Killable

CLIENTS = 6
KILLS = 3
KEYS = [
    ("app_state", "a"),
    ("app_state", "b"),
    ("tool_configs", "tool"),
    ("jobs", "job-1"),
    ("jobs", "job-2"),
]
# The number of operations before each kill, and behind the last one.
OPERATIONS = (100, 500)


class _Play:
    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._chance = chance
        self._served = Killable(folder)
        self.histories: dict[str, list[Operation]] = {}
        self._is_over = False
        self.kills = 0

    @property
    def operations(self) -> int:
        return sum(map(len, self.histories.values()))

    async def run(self) -> None:
        await self._served.start()
        values = itertools.count(1)
        try:
            async with asyncio.TaskGroup() as clients:
                for _ in range(CLIENTS):
                    user = KeyUser(
                        random.Random(self._chance.random()),
                        KEYS,
                        self.histories,
                        time.monotonic,
                        lambda: next(values),
                    )
                    clients.create_task(self._use(user))
                for _ in range(KILLS):
                    await self._work()
                    what = self._chance.choice(["service", "nats-server", "both"])
                    print(f"behind {self.operations} operations: kill -9 of {what}")
                    self._served.kill(what)
                    self.kills += 1
                    if what != "nats-server":
                        await self._served.start()
                await self._work()
                self._is_over = True
        finally:
            self._served.stop()

    async def _work(self) -> None:
        until = self.operations + self._chance.randrange(*OPERATIONS)
        while self.operations < until:  # noqa: ASYNC110  # of several clients
            await asyncio.sleep(0.01)

    async def _use(self, user: KeyUser) -> None:
        while not self._is_over:
            try:
                async with connect(self._served.url, timeout_seconds=2.0) as client:
                    while not self._is_over:
                        await user.act(client, within_seconds=1.0)
            except (Unreachable, ClosedError, AssertionError):
                # By now, there may be another nats-server, at another address.
                await asyncio.sleep(0.05)


def _run(trial: Trial) -> dict[str, int]:
    play = _Play(trial.folder, random.Random(trial.seed))
    asyncio.run(play.run())
    for key, verdict in check_keys(play.histories).items():
        raise Broken(f"what clients saw of {key} cannot have come one after the other: {verdict}")
    unknown = sum(not one.is_known for history in play.histories.values() for one in history)
    return {"kills": play.kills, "operations on keys": play.operations, "of unknown outcome": unknown}


EXPERIMENT = Experiment(
    name="histories-under-kills",
    promise="Histories of keys are linearizable: changes with and without an expected version, and reads, of "
    "jobs, tool configurations and states, can be told one after the other, each within its own time.",
    means=f"`kill -9` of the service, its nats-server or both, {KILLS} times in a trial, while {CLIENTS} "
    "clients change and read five keys; then a checker of histories, whose own tests refuse lies.",
    run=_run,
    small=1,
)
