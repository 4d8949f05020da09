"""The next leader puts back any tail that a log has lost, and all members come to the same file."""

import random
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from bus.log.answers import verify_answers
from bus.log.chain import Head
from bus.log.cloud_events import Origin
from bus.replication import putting_back
from bus.replication.frame import Frame
from bus.replication.putting_back import (
    FRAME_ANSWERS,
    FRAME_EVENTS,
    TRANSACTION_BYTES,
    Lacking,
    frames_lacking,
    term_of,
)
from migrations.connection import open_reader
from tests.support.domain.generated_histories import Chance
from tests.support.stores.life import Life, frequently_kept_states
from tests.support.stores.replicated import (
    STORE_ID,
    FollowedFile,
    RecordedFrames,
    followed_file,
    replicated_content,
)


def bound(monkeypatch: pytest.MonkeyPatch, chance: random.Random) -> None:
    """Sets each bound of frames by chance: as small as possible, or as usual."""
    monkeypatch.setattr(putting_back, "FRAME_EVENTS", chance.choice((1, 3, FRAME_EVENTS)))
    monkeypatch.setattr(putting_back, "FRAME_ANSWERS", chance.choice((1, 3, FRAME_ANSWERS)))
    monkeypatch.setattr(putting_back, "TRANSACTION_BYTES", chance.choice((1, TRANSACTION_BYTES)))


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.prove) for seed in range(3, 6))]
)
def test_whatever_tail_a_log_has_lost_everybody_comes_to_the_leaders_file(
    seed: int, monkeypatch: pytest.MonkeyPatch
):
    chance = random.Random(seed)
    bound(monkeypatch, chance)
    with tempfile.TemporaryDirectory() as name, frequently_kept_states():
        folder = Path(name)
        log = lived_through(folder, seed)
        for cut in chance.sample(range(1, len(log) + 1), 4):
            kept, had = log[:cut], chance.randint(0, cut)
            with (
                followed_file(folder / f"had-all-{cut}.db") as had_all,
                followed_file(folder / f"had-some-{cut}.db") as had_some,
                followed_file(folder / "hyperpage.db") as leader,
            ):
                had_all.apply(log)
                had_some.apply(log[:had])
                follow(leader, kept)
                put_back = frames_lacking(leader.applier, kept[-1].last, 2)
                after = [*kept, *put_back, term_of(leader.applier, 2, "next")]
                for follower in (had_all, had_some, leader):
                    follow(follower, after)
                    verify_answers(follower.connection)
                    assert replicated_content(follower.connection) == replicated_content(leader.connection)


@pytest.mark.parametrize(
    "seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.prove) for seed in range(2, 4))]
)
def test_whatever_is_sent_later_everybody_comes_to_the_leaders_file(
    seed: int, monkeypatch: pytest.MonkeyPatch
):
    chance = random.Random(seed)
    bound(monkeypatch, chance)
    with tempfile.TemporaryDirectory() as name, frequently_kept_states():
        folder = Path(name)
        life, told = Life(folder), set[str]()
        lacking = Lacking(Origin(STORE_ID), 1, Head(), 0, {}, trails=True)
        with followed_file(folder / "follower.db") as follower, closing(open_reader(life.path)) as reader:
            try:
                for one in Chance(seed).history(60):
                    life.live(one)
                    told.update(*(commit.leases for commit in life.store.commits))
                    life.store.commits.clear()
                    while chance.random() < 0.3 and (frame := lacking.next(reader, told)) is not None:
                        follower.apply([frame])
                        told.clear()
                while (frame := lacking.next(reader, told)) is not None:
                    follower.apply([frame])
                verify_answers(follower.connection)
                assert replicated_content(follower.connection) == replicated_content(reader)
            finally:
                life.store.close()


def lived_through(folder: Path, seed: int) -> Sequence[Frame]:
    """The log of a history; its leader's file is closed."""
    log = RecordedFrames()
    life = Life(folder, log)
    try:
        for one in Chance(seed).history(60):
            life.live(one)
    finally:
        life.store.close()
    return log.frames


def follow(file: FollowedFile, log: Sequence[Frame]) -> None:
    """Applies the frames that lead on from the end of the file, or of the log if that is earlier."""
    file.opened()
    start = min(file.applier.head.position, log[-1].last)
    file.apply(log[next(index for index, frame in enumerate(log) if frame.last >= start) :])
