"""Every page of the console at three widths, over a store of values as long and as odd as they may be."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.replication.leader_watch import Leader
from bus.replication.members import LiveMember, Member, Role
from bus.replication.standing import ClusterState, LogCopy, LogStanding
from ops.health.cluster import Fork, cluster_figures
from ops.health.monitor import Monitor
from tests.support.console.hostile_store import UNBROKEN, fill
from tests.support.console.pages import BACKUP, addresses, without_address
from tests.support.services.asking import HttpTalk
from tests.support.services.browsing import Tab, browser, tab


class Looked(msgspec.Struct, frozen=True):
    """A service with a hostile store, and a tab in a browser that looks at it."""

    talk: HttpTalk
    here: Tab
    backup: str


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looked]:
    """One for all pages, since both take their time to begin."""
    with (
        pytest.MonkeyPatch.context() as patched,
        HttpTalk(tmp_path_factory.mktemp("looked") / "data") as talk,
    ):
        patched.setattr(Monitor, "cluster", property(lambda _: _cluster()))
        backup = fill(talk)
        stack = AsyncExitStack()

        async def begin() -> Tab:
            return await stack.enter_async_context(tab(await stack.enter_async_context(browser()), talk.url))

        try:
            yield Looked(talk, talk.run(begin()), backup)
        finally:
            talk.run(stack.aclose())


def test_each_page_is_looked_at() -> None:
    assert without_address() == [], "tests/support/console/pages.py says which page of theirs is looked at"


@pytest.mark.parametrize("path", addresses(), ids=lambda path: path[:60])
def test_nothing_of_a_page_sticks_out_or_is_covered(looked: Looked, path: str) -> None:
    async def look() -> None:
        await looked.here.open(path.replace(BACKUP, looked.backup))
        await looked.here.lies_well(path)

    looked.talk.run(look())


def _cluster() -> dict[str, Any]:
    """What the service tells of a cluster whose members have long names."""
    names = [f"{number}{UNBROKEN[:90]}" for number in range(3)]
    state = ClusterState(
        name=names[0],
        leader=Leader(name=names[1], instance="i", term=7, address="http://leader.example.com:8822"),
        leaderless_seconds=0,
        leader_changes=1,
        members=[_member(name) for name in names],
        log=LogStanding(
            stream="HYPERPAGE_LOG",
            messages=10**9,
            size_bytes=10**12,
            limit_bytes=None,
            replicas=3,
            quorum=2,
            available=3,
            copies=[LogCopy(server=name, leads=name == names[0], available=True, lag=0) for name in names],
        ),
        looked_seconds_ago=1,
        problem=UNBROKEN,
        kept_from_leading=UNBROKEN,
    )
    fork = Fork(timeline=2, position=10**9, leader=names[2], missing_events=3)
    return cluster_figures(state, "member", fork, [Path(f"lost-events-{UNBROKEN[:200]}.jsonl")])


def _member(name: str) -> LiveMember:
    member = Member(
        name=name,
        instance="i",
        role=Role.MEMBER,
        position=10**9,
        hash="",
        version="0.1.0",
        address=f"http://{UNBROKEN[:60]}.example.com:8822",
        time_ms=0,
    )
    return LiveMember(member=member, age_ms=1_000, clock_ahead_ms=-100)
