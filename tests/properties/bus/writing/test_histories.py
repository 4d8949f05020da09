"""The laws hold for any history: generated histories of commands, through the real writer.

Each history is also told as a pure story, with no file, group, cache or index: the writer must come to the
very same events. It runs with next to no cache and with kept states every other event, and is restarted.
"""

import random
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import NOW
from tests.support.domain.generated_histories import Chance, Restart
from tests.support.domain.given_when_then import Story
from tests.support.stores.life import Life, frequently_kept_states


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_the_laws_hold(seed: int):
    live_through(Chance(seed).history(60))


@pytest.mark.prove
def test_the_laws_hold_through_a_thousand_histories():
    first = random.SystemRandom().randrange(10**9)
    for seed in range(first, first + 1_000):
        try:
            live_through(Chance(seed).history(60))
        except BaseException:
            print(f"to have it again: live_through(Chance({seed}).history(60))")
            raise


def live_through(history: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder, frequently_kept_states():
        life = Life(Path(folder))
        try:
            for one in history:
                life.live(one)
                life.check_writer_against_story()
            life.check_the_laws(Path(folder))
            life.live(Restart())
            life.check_the_laws(Path(folder))
        finally:
            life.store.close()


assert Story().now == NOW, "the store's clock and the story's begin at one time"
