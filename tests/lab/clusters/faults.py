"""Faults of a cluster's processes and of the links between them, several at once, each undone later."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial

from tests.lab.clusters.processes import Broker, Cluster, Member, Supervised
from tests.support.services.raw_nats import RawNats

# How long a fault lasts: longer than a lease, and long enough that other members notice it.
LASTS_AT_MOST_SECONDS = 8.0

ADMIN_INBOX = "_INBOX_admin."

Undo = Callable[[], Awaitable[None]]


class Faults:
    """The faults of a cluster by one seed, and those that are still to be undone."""

    def __init__(self, cluster: Cluster, chance: random.Random) -> None:
        self._cluster = cluster
        self._chance = chance
        self._tasks: set[asyncio.Task[None]] = set()
        self._undoing = asyncio.Event()
        # The kind of disks that this round takes away: data that both kinds lose is gone for good.
        self._loses = "nothing"
        self.counts: Counter[str] = Counter()

    def begin_round(self) -> None:
        """Begins a round in which all is well, so that a disk may be lost again."""
        self._undoing.clear()
        self._loses = self._chance.choice(["nothing", "a broker's", "a member's"])

    async def strike(self) -> None:
        """Makes one fault, which is undone later."""
        acts: list[Callable[[], tuple[str, Undo] | None]] = [
            *(partial(self._process, how) for how in ("kill", "kill", "freeze", "freeze", "stop")),
            self._disk,
            self._everything,
            self._hand_over,
        ]
        if self._cluster.network.can_cut:
            acts += [self._alone, self._pair, self._pair, self._one_way]
        done = None
        while done is None:
            done = self._chance.choice(acts)()
        what, undo = done
        print(what, flush=True)
        self.counts[what.partition(" ")[0]] += 1
        task = asyncio.create_task(self._undone(undo, self._chance.random() * LASTS_AT_MOST_SECONDS))
        self._tasks.add(task)

    async def heal(self) -> None:
        """Undoes all faults; all processes run again when this returns, and may need some time."""
        self._undoing.set()
        await asyncio.gather(*self._tasks)
        self._tasks.clear()

    async def _undone(self, undo: Undo, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._undoing.wait()
        except TimeoutError:
            """It lasted as long as it was to."""
        await undo()

    def _free(self, among: list[Supervised]) -> Supervised | None:
        free = [one for one in among if not one.is_held]
        return self._chance.choice(free) if free else None

    def _process(self, how: str) -> tuple[str, Undo] | None:
        if (one := self._free(self._chance.choice([self._cluster.brokers, self._cluster.members]))) is None:
            return None
        one.is_held = True
        stopping: asyncio.Task[None] | None = None
        match how:
            case "kill":
                one.kill()
            case "freeze":
                one.freeze()
            case _:
                stopping = asyncio.create_task(one.stop())

        async def undo() -> None:
            if stopping is not None:
                await stopping
            if how == "freeze":
                one.thaw()
            else:
                one.start()
            one.is_held = False

        return f"{how} {one.name}", undo

    def _disk(self) -> tuple[str, Undo] | None:
        if self._loses == "a member's" and (one := self._free(self._cluster.members)) is not None:
            return self._member_loses(one)
        brokers = self._cluster.brokers
        if self._loses == "a broker's" and not any(one.is_held for one in brokers):
            self._loses = "nothing"
            return self._broker_loses(self._chance.choice(brokers))
        return None

    def _member_loses(self, one: Supervised) -> tuple[str, Undo]:
        one.is_held = True
        one.kill()
        member = one.process
        assert isinstance(member, Member)
        keeps = self._chance.random() < 0.5
        if keeps:
            member.keep()
        else:
            member.lose_data()

        async def undo() -> None:
            one.start()
            one.is_held = False

        return f"{'copy' if keeps else 'lose'} the data of {one.name}", undo

    def _broker_loses(self, one: Supervised) -> tuple[str, Undo]:
        # As the documents say for a replaced nats-server: the others run until it has all data again.
        brokers = self._cluster.brokers
        for each in brokers:
            each.is_held = True
        one.kill()
        broker = one.process
        assert isinstance(broker, Broker)
        broker.wipe()

        async def undo() -> None:
            one.start()
            await self._cluster.brokers_are_well()
            for each in brokers:
                each.is_held = False

        return f"wipe {one.name}", undo

    def _everything(self) -> tuple[str, Undo] | None:
        processes = self._cluster.processes
        if self._chance.random() < 0.5 or any(one.is_held for one in processes):
            return None
        for one in processes:
            one.is_held = True
            one.kill()

        async def undo() -> None:
            for one in processes:
                one.start()
                one.is_held = False

        return "everything is killed", undo

    def _hand_over(self) -> tuple[str, Undo]:
        name = self._chance.choice([one.name for one in self._cluster.members])
        handing = asyncio.create_task(handed_over(self._cluster.url, name))

        async def undo() -> None:
            handing.cancel()
            await asyncio.gather(handing, return_exceptions=True)

        return f"hand over to {name}", undo

    def _alone(self) -> tuple[str, Undo]:
        name = self._chance.choice(list(self._cluster.network.addresses))
        self._cluster.network.cut(name, None)
        return f"cut {name} off from all", self._rejoin

    def _pair(self) -> tuple[str, Undo]:
        one, other = self._two()
        self._cluster.network.cut(one, other)
        self._cluster.network.cut(other, one)
        return f"cut {one} from {other}", self._rejoin

    def _one_way(self) -> tuple[str, Undo]:
        one, other = self._two()
        self._cluster.network.cut(one, other)
        return f"deafen {one} to {other}", self._rejoin

    def _two(self) -> tuple[str, str]:
        one = self._chance.choice([each.name for each in self._cluster.brokers])
        other = self._chance.choice([name for name in self._cluster.network.addresses if name != one])
        return (one, other) if self._chance.random() < 0.5 else (other, one)

    async def _rejoin(self) -> None:
        self._cluster.network.heal()


async def handed_over(url: str, name: str = "") -> str | None:
    """Hands the lead over to a member, or to any; returns why that failed, or None."""
    async with await RawNats.connect(url, inbox_prefix=ADMIN_INBOX) as client:
        answer = await client.request("hyperpage.adm.v1.cluster.hand_over", {"to": name})
    return None if answer.status is None and answer.code is None else repr(answer)
