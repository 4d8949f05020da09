"""Three members on three nats-servers, with several faults at once, again and again."""

import asyncio
import itertools
import random
import statistics
import time
from contextlib import suppress

from hyperpage_client import connect
from hyperpage_client.asking.connection import ClosedError, Unreachable
from tests.lab.clusters.faults import Faults
from tests.lab.clusters.judging import become_well, require_all
from tests.lab.clusters.networks import network
from tests.lab.clusters.processes import Broker, Cluster, since
from tests.lab.experiment import Broken, Experiment, Trial
from tests.lab.keys import KeyUser
from tests.lab.linearizability import Operation
from tests.lab.machines.applications import Applications, Command
from tests.lab.machines.starter import Starter, starter
from tests.lab.registers import check_keys
from tests.support.services.raw_nats import RawNats

ROUNDS, FAULTS = 5, 10
BETWEEN_AT_MOST_SECONDS = 3.0
ANSWERS_BETWEEN = (20, 100)
ANSWER_SECONDS = 1.0
# After so many requests without an answer, a client tries another nats-server.
SILENT_AT_MOST = 3
KEYS = [("app_state", "a"), ("app_state", "b"), ("tool_configs", "tool"), ("jobs", "job-1")]
KEY_USERS = 3
GAP_SECONDS = 1.0


class ClientsOfCluster(Applications):
    """Applications that try another nats-server when theirs is silent."""

    def __init__(self, cluster: Cluster, chance: random.Random) -> None:
        super().__init__(self.somewhere, chance, answer_seconds=ANSWER_SECONDS)
        self._brokers = list(cluster.brokers)
        self._next = itertools.count()
        self._silent: dict[RawNats, int] = {}

    def somewhere(self) -> str:
        """The address of a nats-server that seems to run, each time another one.

        Raises:
            AssertionError: the next one does not run.
        """
        one = self._brokers[next(self._next) % len(self._brokers)]
        if one.is_frozen or one.process.has_ended:
            raise AssertionError(f"{one.name} is away")
        assert isinstance(one.process, Broker)
        return one.process.url

    async def ask(self, client: RawNats, command_id: str, command: Command) -> bytes | None:
        """As `Applications.ask`, but a client that gets no answers for long ends.

        Raises:
            TimeoutError: the client got no answers for too long.
        """
        answer = await super().ask(client, command_id, command)
        is_silent = answer is None and self.put_off[command_id].startswith("nothing")
        self._silent[client] = self._silent.get(client, 0) + 1 if is_silent else 0
        if self._silent[client] >= SILENT_AT_MOST and self.is_at_work:
            raise TimeoutError
        return answer


class _Play:
    def __init__(self, cluster: Cluster, chance: random.Random, rounds: int, faults: int) -> None:
        self._cluster = cluster
        self._chance = chance
        self._rounds = rounds
        self._faults = faults
        self.faults = Faults(cluster, chance)
        self.applications = ClientsOfCluster(cluster, chance)
        self.histories: dict[str, list[Operation]] = {}
        self._is_over = False
        self.healed_after: list[float] = []

    async def run(self) -> dict[str, int]:
        await self._cluster.start()
        await become_well(self._cluster)
        values = itertools.count(1)
        users = [
            KeyUser(
                random.Random(self._chance.random()),
                KEYS,
                self.histories,
                time.monotonic,
                lambda: next(values),
                reads=0.0,
            )
            for _ in range(KEY_USERS)
        ]
        using = [asyncio.create_task(self._use(one)) for one in users]
        try:
            async with self.applications.at_work():
                for _ in range(self._rounds):
                    await self._round()
        finally:
            self._is_over = True
            await asyncio.gather(*using)
        self._tell()
        return await require_all(self._cluster, self.applications, others=self.histories)

    async def _round(self) -> None:
        await self.applications.are_answered(self._chance.randint(*ANSWERS_BETWEEN))
        self.faults.begin_round()
        for _ in range(self._faults):
            await self.faults.strike()
            await asyncio.sleep(self._chance.random() * BETWEEN_AT_MOST_SECONDS)
        print("heal", flush=True)
        await self.faults.heal()
        healed_at = time.monotonic()
        await become_well(self._cluster)
        self.healed_after.append(since(healed_at))
        print(f"well after {self.healed_after[-1]:.1f} s, {len(self.applications.told)} answers", flush=True)

    async def _use(self, user: KeyUser) -> None:
        while not self._is_over:
            with suppress(Unreachable, ClosedError, AssertionError):
                async with connect(self.applications.somewhere(), timeout_seconds=2.0) as client:
                    while not self._is_over:
                        await user.act(client, within_seconds=1.0)
            await asyncio.sleep(0.05)

    def _tell(self) -> None:
        at = [one.at_ns / 1e9 for one in self.applications.told]
        gaps = [later - earlier for earlier, later in itertools.pairwise(at)]
        silent = sorted(gap for gap in gaps if gap > GAP_SECONDS)
        print(dict(self.faults.counts), flush=True)
        if silent:
            print(
                f"{len(silent)} times without an answer for more than {GAP_SECONDS:g} s:"
                f" median {statistics.median(silent):.1f} s, at most {silent[-1]:.1f} s",
                flush=True,
            )
        print(f"well at most {max(self.healed_after):.1f} s after the repair", flush=True)


async def _play(trial: Trial, start: Starter, rounds: int, faults: int) -> dict[str, int]:
    with network(["n0", "n1", "n2", "a", "b", "c"]) as hosts:
        cluster = Cluster(trial.folder, hosts, start)
        play = _Play(cluster, random.Random(trial.seed), rounds, faults)
        try:
            found = await play.run()
        finally:
            await cluster.stop()
    for key, verdict in check_keys(play.histories).items():
        raise Broken(f"what clients saw of {key} cannot have come one after the other: {verdict}")
    operations = sum(map(len, play.histories.values()))
    return {"faults": play.faults.counts.total(), **found, "operations on keys": operations}


def _run(trial: Trial) -> dict[str, int]:
    with starter() as start:
        return asyncio.run(_play(trial, start, ROUNDS, FAULTS))


EXPERIMENT = Experiment(
    name="clusters-under-faults",
    promise="Whatever becomes of three members and three nats-servers, several things at once: nothing that "
    "was answered or acknowledged is lost or done twice, all files are equal, the stream is the log, "
    "histories of keys are linearizable, and all are healthy within 30 s of the repair.",
    means="`kill -9`, SIGTERM and SIGSTOP of any of them or all, hosts and ways between them cut and halved, "
    "disks of nats-servers and members lost or as they were before, while clients send and follow.",
    run=_run,
    seconds=1_800.0,
)
