"""Every page of the console at three widths, over a store of values as long and as odd as they may be.

Its geometry is looked at in every run, in whatever browser is there: what sticks out, is covered or is broken
inside a word is the same in all of them. `CONSOLE_PICTURES=FOLDER` leaves pictures of all pages there.

Pixels are compared by `make prove`, with pictures that are kept here and that somebody looked at. Browsers
draw text differently from one major version to the next, and other fonts have other widths, so they are
compared in the version that drew them, with the same font; elsewhere the test is skipped, and says so. They
are a quarter as wide and high as the page, where letters are shades of grey, and without what differs from
run to run: times, figures, charts. `KEEP_PICTURES=1 make prove ARGS=tests/e2e/ops/console/test_looks.py`
keeps new ones, which are to be looked at.
"""

import os
import shutil
import subprocess
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
from tests.support.services.browsing import DESK, PHONE, TABLET, Tab, browser, file_name, tab

KEPT = Path(__file__).with_name("pictures")
# How much of a picture may differ from the one that is kept.
MOST_DIFFERENT = 0.02


class Looked(msgspec.Struct, frozen=True):
    """A service with a hostile store, and two tabs that look at it: `coarse` makes small pictures."""

    talk: HttpTalk
    here: Tab
    coarse: Tab
    version: str
    backup: str

    async def open(self, here: Tab, path: str) -> None:
        await here.open(path.replace(BACKUP, self.backup))


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looked]:
    """One for all pages, since both take their time to begin."""
    with (
        pytest.MonkeyPatch.context() as patched,
        # No scheduled backups: pictures would show their number.
        HttpTalk(tmp_path_factory.mktemp("looked") / "data", backup_interval_minutes=0) as talk,
    ):
        patched.setattr(Monitor, "cluster", property(lambda _: _cluster()))
        backup = fill(talk)
        stack = AsyncExitStack()

        async def begin() -> Looked:
            started = await stack.enter_async_context(browser())
            here = await stack.enter_async_context(tab(started, talk.url, is_judged=False))
            coarse = await stack.enter_async_context(tab(started, talk.url, scale=0.25, is_judged=False))
            return Looked(talk, here, coarse, started.version.partition(".")[0], backup)

        try:
            yield talk.run(begin())
        finally:
            talk.run(stack.aclose())


def test_each_page_is_looked_at() -> None:
    assert without_address() == [], "tests/support/console/pages.py says which page of theirs is looked at"


@pytest.mark.parametrize("path", addresses(), ids=lambda path: path[:60])
def test_nothing_of_a_page_sticks_out_or_is_covered(looked: Looked, path: str) -> None:
    async def look() -> None:
        await looked.open(looked.here, path)
        await looked.here.lies_well(path)

    looked.talk.run(look())


@pytest.mark.prove
@pytest.mark.parametrize("path", addresses(), ids=lambda path: path[:60])
def test_a_page_looks_as_it_did_when_somebody_looked(looked: Looked, path: str) -> None:
    drawn_by, is_kept_anew = KEPT / "drawn-by.txt", bool(os.environ.get("KEEP_PICTURES"))
    if not is_kept_anew and drawn_by.read_text() != _drawn_by(looked):
        pytest.skip(f"the pictures that are kept were drawn by {drawn_by.read_text().strip()}")

    async def look() -> None:
        await looked.open(looked.coarse, path)
        for width, scheme in ((PHONE, "light"), (TABLET, "dark"), (DESK, "light")):
            picture = await looked.coarse.still_picture(width, scheme)
            kept = KEPT / f"{file_name(path)}-{width}.png"
            if is_kept_anew:
                kept.write_bytes(picture)
                drawn_by.write_text(_drawn_by(looked))
            assert kept.exists(), f"there is no picture {kept.name}: keep one, as said above"
            difference = await looked.coarse.difference(kept.read_bytes(), picture)
            assert difference < MOST_DIFFERENT, (
                f"{path} at {width} differs from {kept.name}: {difference:.1%}"
            )

    looked.talk.run(look())


def _drawn_by(looked: Looked) -> str:
    """The browser and the font, on which the pictures depend."""
    if shutil.which("fc-match") is None:
        pytest.skip("nothing says which font is used (Debian's package: fontconfig)")
    font = subprocess.run(["fc-match", "system-ui"], capture_output=True, text=True, check=True).stdout
    return f"Chromium {looked.version}, {font.strip()}\n"


def _cluster() -> dict[str, Any]:
    """The state of a cluster whose members have long names, as the service reports it."""
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
