"""Any follower that applies a leader's frames comes to the same file, for any decisions."""

import random
import tempfile
from pathlib import Path

import pytest

from bus.log.answers import verify_answers
from tests.support.domain.generated_histories import Chance
from tests.support.stores.life import Life, frequently_kept_states
from tests.support.stores.replicated import FollowedFile, RecordedFrames, followed_file, replicated_content


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.prove) for seed in range(4, 10))]
)
def test_a_follower_has_the_rows_of_its_leader_in_every_table(seed: int):
    chance = random.Random(seed)
    log = RecordedFrames()
    with tempfile.TemporaryDirectory() as folder, frequently_kept_states():
        life = Life(Path(folder), log)
        with followed_file(Path(folder) / "followed.db") as followed:
            try:
                for one in Chance(seed).history(60):
                    life.live(one)
                    if chance.random() < 0.3:
                        follow(followed, log, chance)
                follow(followed, log, chance)
                assert replicated_content(followed.connection) == life.store.in_writer(replicated_content)
                verify_answers(followed.connection)
            finally:
                life.store.close()


def follow(followed: FollowedFile, log: RecordedFrames, chance: random.Random) -> None:
    """Applies all frames, in transactions of any size, and some of them again, as after a start."""
    if chance.random() < 0.3:
        followed.opened()
    ends = [one.last for one in log.frames]
    start = next((index for index, last in enumerate(ends) if last >= followed.applier.head.position), 0)
    while start < len(log.frames):
        end = start + chance.randint(1, 5)
        followed.apply(log.frames[start:end])
        start = end
