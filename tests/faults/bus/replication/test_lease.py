"""Candidates and nats-servers are killed and frozen at random: no two lead at a time, and soon one does.

`make prove ARGS="-k no_two_lead -s"` prints what happened; `SEED=…` chooses the same blows again.
"""

import asyncio
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from bus.broker.tether import tethered
from tests.support.chance import SEED
from tests.support.clusters.electing import emptied
from tests.support.clusters.nats_servers import Cluster
from tests.support.patience import until
from tests.support.programs.leading_program import NAMES
from tests.support.repository import ROOT

# A little more than a cluster needs to choose leaders and to end a lease.
LEADS_WITHIN_SECONDS = 60.0
TO_CANDIDATES = ("freeze it", "freeze it", "kill it")
TO_SERVERS = ("freeze a server", "kill a server")


class Turn(NamedTuple):
    """The time in which a process has certainly led, in nanoseconds."""

    begin: int
    end: int
    who: tuple[str, int, int]


class Candidates:
    """The candidates, a process for each name; `blows` counts the faults of them and of the servers."""

    def __init__(self, cluster: Cluster, folder: Path, chance: random.Random, lease_seconds: int) -> None:
        self.blows = Counter[str]()
        self._cluster = cluster
        self._chance = chance
        self._lease_seconds = lease_seconds
        self._files = {name: folder / name for name in NAMES}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        program = [sys.executable, "-m", "tests.support.programs.leading_program"]
        arguments = [name, str(self._lease_seconds), str(SEED), str(self._files[name])]
        command = tethered([*program, *arguments, *self._cluster.urls_for()])
        self._processes[name] = subprocess.Popen(command, cwd=ROOT)

    def stop(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()

    async def strike(self, kind: str) -> None:
        """Freezes or kills a candidate or a server, and undoes that after a while."""
        seconds = self._chance.uniform(0.1, 1.5) * self._lease_seconds
        name = (self.leading() if self._chance.random() < 0.7 else None) or self._chance.choice(NAMES)
        server = self._chance.choice(self._cluster.servers)
        self.blows[kind] += 1
        match kind:
            case "freeze it":
                self._processes[name].send_signal(signal.SIGSTOP)
                await asyncio.sleep(seconds)
                self._processes[name].send_signal(signal.SIGCONT)
            case "kill it":
                self._processes[name].kill()
                self._processes[name].wait()
                self.start(name)
                await asyncio.sleep(seconds)
            case "freeze a server":
                server.freeze()
                await asyncio.sleep(seconds)
                server.thaw()
            case "kill a server":
                server.kill()
                await asyncio.sleep(seconds)
                server.start()

    def leading(self) -> str | None:
        """The name of the candidate that has led last; `None` if none has."""
        turns = self.turns()
        return max(turns, key=lambda turn: turn.end).who[0] if turns else None

    def turns(self) -> list[Turn]:
        """All turns until now."""
        found: dict[tuple[str, int, int], Turn] = {}
        for name, file in self._files.items():
            lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
            for line in lines:
                process, attempt, before, after = map(int, line.split())
                who = (name, process, attempt)
                # It certainly led from its first answer until it asked for the last time.
                begin = found[who].begin if who in found else after
                found[who] = Turn(begin, before, who)
        return [turn for turn in found.values() if turn.begin < turn.end]


def overlapping(turns: Iterable[Turn]) -> list[tuple[Turn, Turn]]:
    """Pairs of turns of which one began before the other one was over."""
    ordered = sorted(turns)
    return [
        (one, other)
        for place, one in enumerate(ordered)
        for other in ordered[place + 1 :]
        if other.begin < one.end
    ]


async def play(folder: Path, blows: Sequence[str], *, lease_seconds: int) -> None:
    print(f"SEED={SEED}")
    chance = random.Random(SEED)
    async with Cluster(folder / "cluster") as cluster:
        async with cluster.connected() as relay:
            await emptied(relay, replicas=3)
        candidates = Candidates(cluster, folder, chance, lease_seconds)
        try:
            for name in NAMES:
                candidates.start(name)
            await until(candidates.leading)
            for blow in blows:
                await candidates.strike(blow)
                await asyncio.sleep(chance.uniform(0, 1) * lease_seconds)
            await cluster.heal()
            before = len(candidates.turns())
            await until(lambda: len(candidates.turns()) > before, LEADS_WITHIN_SECONDS)
        finally:
            candidates.stop()
        turns = candidates.turns()
    print(dict(candidates.blows), f"{len(turns)} turns of {len({turn.who[:2] for turn in turns})} processes")
    assert overlapping(turns) == []


def test_what_overlaps_is_seen() -> None:
    one, two, three = Turn(0, 10, ("a", 1, 1)), Turn(10, 20, ("b", 1, 1)), Turn(15, 16, ("c", 1, 1))
    assert overlapping([three, one, two]) == [(two, three)]
    assert overlapping([two, one]) == []


@pytest.mark.prove
def test_no_two_lead_at_the_same_time(tmp_path: Path) -> None:
    blows = [*random.Random(SEED).choices(TO_CANDIDATES, k=6), *TO_SERVERS]
    asyncio.run(play(tmp_path, blows, lease_seconds=1))


@pytest.mark.prove
@pytest.mark.parametrize("lease_seconds", [1, 3])
def test_no_two_lead_at_the_same_time_for_long(tmp_path: Path, lease_seconds: int) -> None:
    blows = random.Random(SEED).choices((*TO_CANDIDATES, *TO_SERVERS), k=100 // lease_seconds)
    asyncio.run(play(tmp_path, blows, lease_seconds=lease_seconds))
