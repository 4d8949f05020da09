"""A restore brings back the state of the moment or touches nothing, for any sources and damage."""

import pytest

from tests.lab.state_machines import restoring
from tests.support.chance import SEED


# On a busy machine, a story may take a minute.
@pytest.mark.timeout(1_200)
def test_a_few_stories_of_restores_are_as_its_model_says():
    # Always the same ones: others, by chance, are for `make prove` and the lab.
    print(restoring.played(2, stories=4, steps=20))


@pytest.mark.prove
def test_many_stories_of_restores_are_as_its_model_says():
    print(f"seed {SEED}")
    print(restoring.played(SEED, stories=300, steps=40))
