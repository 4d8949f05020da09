"""A cluster whose members are brought from an older version to this one, one by one, at work all the time.

The older program is a commit of this repository's history, loaded from a copy of its own, with the libraries
of this one.
"""

import asyncio
import io
import random
import subprocess
import tarfile
from pathlib import Path

from tests.lab.clusters.judging import become_well, leader_of, require_all
from tests.lab.clusters.networks import network
from tests.lab.clusters.processes import Cluster, Member, Supervised
from tests.lab.clusters.under_faults import ClientsOfCluster
from tests.lab.experiment import Experiment, Trial
from tests.lab.machines.starter import Starter, starter
from tests.support.repository import ROOT

# The first commit whose members can open files of today's members: no migration was added since.
OLDER = "0d22e27"
# The answers between two changes, so that each change has its time, on a slow machine, too.
ANSWERS_AT_ONCE, TIMES_BETWEEN = 20, (1, 8)


def lacking() -> str | None:
    """The reason why this experiment can't run here; `None` if it can."""
    asked = ["git", "-C", str(ROOT), "cat-file", "-e", f"{OLDER}^{{commit}}"]
    try:
        found = subprocess.run(asked, capture_output=True, check=False)
    except FileNotFoundError:
        return "there is no git"
    return (
        None
        if found.returncode == 0
        else f"the history of {ROOT} has no commit {OLDER}: git fetch --unshallow"
    )


def copy_older(folder: Path) -> None:
    """Writes the older program into a folder."""
    packed = subprocess.run(
        ["git", "-C", str(ROOT), "archive", "--format=tar", OLDER], capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(folder, filter="data")


class _Play:
    def __init__(self, cluster: Cluster, chance: random.Random, older: Starter, newer: Starter) -> None:
        self._cluster = cluster
        self._chance = chance
        self._older = older
        self._newer = newer
        self.applications = ClientsOfCluster(cluster, chance)

    async def run(self) -> dict[str, int]:
        """Upgrades the members in a random order, and takes one back again, as a hesitant operator would."""
        for service in self._cluster.services:
            service.start_by(self._older)
        await self._cluster.start()
        await become_well(self._cluster)
        order = self._chance.sample(self._cluster.members, len(self._cluster.members))
        back = self._chance.choice(order)
        changes = 0
        async with self.applications.at_work():
            for one in order:
                await self._change(one, "new", self._newer)
                changes += 1
                if one is back:
                    await self._change(one, "old", self._older)
                    await self._change(one, "new", self._newer)
                    changes += 2
            await self._work()
        return {
            "changes of a member's version": changes,
            **await require_all(self._cluster, self.applications, others=()),
        }

    async def _work(self) -> None:
        for _ in range(self._chance.randint(*TIMES_BETWEEN)):
            await self.applications.are_answered(ANSWERS_AT_ONCE)

    async def _change(self, one: Supervised, to: str, program: Starter) -> None:
        await self._work()
        leader = await leader_of(self._cluster)
        print(f"{one.name} becomes {to}{', which leads' if leader == one.name else ''}", flush=True)
        await one.stop()
        assert isinstance(one.process, Member)
        one.process.service.start_by(program)
        one.start()
        await become_well(self._cluster)


async def _play(trial: Trial, older: Starter, newer: Starter) -> dict[str, int]:
    with network(["n0", "n1", "n2", "a", "b", "c"]) as hosts:
        cluster = Cluster(trial.folder, hosts, newer)
        try:
            return await _Play(cluster, random.Random(trial.seed), older, newer).run()
        finally:
            await cluster.stop()


def _run(trial: Trial) -> dict[str, int]:
    program = trial.folder / "older"
    copy_older(program)
    with starter(program) as older, starter() as newer:
        return asyncio.run(_play(trial, older, newer))


EXPERIMENT = Experiment(
    name="cluster-versions",
    promise="Members of an older version and of this one follow one log side by side, whoever leads, and no "
    "answered command is lost while one after the other is brought up to date.",
    means=f"Three members of commit {OLDER} on three nats-servers, each stopped and started with this "
    "program, in any order, one of them back and forth, while applications work.",
    run=_run,
    lacking=lacking,
)
