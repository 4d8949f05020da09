"""How long no member answers when the leader is killed, and when it hands over."""

import asyncio
import itertools
import random
import statistics
import time
from contextlib import suppress
from typing import Any

from tests.lab.clusters.faults import handed_over
from tests.lab.clusters.judging import become_well, leader_of, require_all
from tests.lab.clusters.networks import network
from tests.lab.clusters.processes import Broker, Cluster
from tests.lab.clusters.under_faults import ClientsOfCluster
from tests.lab.experiment import Broken, Experiment, Trial
from tests.lab.machines.starter import Starter, starter
from tests.support.patience import patiently, until
from tests.support.services.raw_nats import RawNats

TIMES = 10
PROBES = 4
ASKED_AGAIN_SECONDS = 0.25
# The promises for the default lease.
UNPLANNED_SECONDS, PLANNED_SECONDS = 5.0, 1.0


class _Probes:
    """Clients that each send one command after the other, and note when each was answered."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._numbers = itertools.count()
        self._name = f"probe-{time.time_ns()}"
        # When each command was first sent, and when it was answered; and the bodies of refusals.
        self.answered: list[tuple[float, float]] = []
        self.refused: list[bytes] = []
        self.streams: set[str] = set()

    async def run(self) -> None:
        """Sends commands until it is cancelled."""
        await asyncio.gather(*(self._ask_on(number) for number in range(PROBES)))

    async def _ask_on(self, number: int) -> None:
        broker = self._cluster.brokers[number % len(self._cluster.brokers)].process
        assert isinstance(broker, Broker)
        async with await RawNats.connect(broker.url) as client:
            while True:
                await self._ask(client, f"{self._name}-{next(self._numbers)}")

    async def _ask(self, client: RawNats, command_id: str) -> None:
        began = time.monotonic()
        self.streams.add(f"app_state/{command_id}")
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(ASKED_AGAIN_SECONDS):
                    answer = await client.ask(
                        "hyperpage.cmd.v1.app_state.set",
                        {"key": command_id, "value": 1},
                        {"Hyperpage-Command-Id": command_id},
                    )
                if answer.status is None and answer.code is None:
                    self.answered.append((began, time.monotonic()))
                    return
                self.refused.append(answer.body or str(answer.status).encode())
                await asyncio.sleep(0.01)

    def silence(self, since: float) -> float:
        """The longest time without an answer from a moment on."""
        at = sorted(answered for _, answered in self.answered if answered >= since)
        return max(later - earlier for earlier, later in itertools.pairwise([since, *at]))


class _Play:
    def __init__(self, cluster: Cluster, chance: random.Random) -> None:
        self._cluster = cluster
        self._chance = chance
        self._probes = _Probes(cluster)
        self.applications = ClientsOfCluster(cluster, chance)

    async def run(self) -> dict[str, int]:
        await self._cluster.start()
        await become_well(self._cluster)
        probing = asyncio.create_task(self._probes.run())
        unplanned, planned, refused = [], [], 0
        try:
            for _ in range(TIMES):
                unplanned.append(await self._measured(self._kill()))
                before = len(self._probes.refused)
                planned.append(await self._measured(self._hand_over()))
                refused += len(self._probes.refused) - before
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)
        self._tell("killed", unplanned, UNPLANNED_SECONDS)
        self._tell(f"handed over ({refused} refused)", planned, PLANNED_SECONDS)
        return {
            "kills of the leader": len(unplanned),
            "hand-overs": len(planned),
            **await require_all(self._cluster, self.applications, others=self._probes.streams),
        }

    async def _measured(self, done: Any) -> float:
        """How long no client got an answer because of it; all is well when this returns."""
        began = time.monotonic()
        await done
        enough = len(self._probes.answered) + 20 * PROBES
        try:
            await until(lambda: len(self._probes.answered) >= enough, patiently(UNPLANNED_SECONDS))
        except TimeoutError:
            raise Broken("nobody answers") from None
        silence = self._probes.silence(began)
        for one in self._cluster.members:
            one.start()
        await become_well(self._cluster)
        await asyncio.sleep(self._chance.random() * 2)
        return silence

    async def _kill(self) -> None:
        name = await leader_of(self._cluster)
        next(one for one in self._cluster.members if one.name == name).kill()

    async def _hand_over(self) -> None:
        deadline = time.monotonic() + patiently(UNPLANNED_SECONDS)
        await leader_of(self._cluster)
        while (why := await handed_over(self._cluster.url)) is not None:
            # On a slow machine, a lease may end meanwhile: then there is no leader for a moment.
            if time.monotonic() > deadline:
                raise Broken(f"the lead was not handed over: {why}")
            await asyncio.sleep(0.5)

    def _tell(self, how: str, seconds: list[float], promised: float) -> None:
        each = " ".join(f"{one * 1_000:.0f}" for one in sorted(seconds))
        print(f"{how}: no answer for {statistics.median(seconds):.2f} s (median): {each} ms", flush=True)
        if (worst := max(seconds)) > patiently(promised):
            raise Broken(f"{how}: nobody answered for {worst:.1f} s")


async def _play(trial: Trial, start: Starter) -> dict[str, int]:
    with network(["n0", "n1", "n2", "a", "b", "c"]) as hosts:
        cluster = Cluster(trial.folder, hosts, start)
        try:
            return await _Play(cluster, random.Random(trial.seed)).run()
        finally:
            await cluster.stop()


def _run(trial: Trial) -> dict[str, int]:
    with starter() as start:
        return asyncio.run(_play(trial, start))


EXPERIMENT = Experiment(
    name="failover",
    promise="Where the member that leads is killed, another one answers within 5 s; where it hands over, "
    "within 1 s, and no command is refused.",
    means=f"`kill -9` of the leader and a hand-over, {TIMES} times each in turn, while {PROBES} clients ask "
    "one command after the other, and send each again after 0.25 s.",
    run=_run,
)
