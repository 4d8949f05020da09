"""After any commands and reopenings, a store's log, tables and answers are those of a model."""

import pytest

from tests.lab.state_machines import storing
from tests.support.chance import SEED


# On a busy machine, a story may take a minute.
@pytest.mark.timeout(1_200)
def test_a_few_stories_of_a_store_are_as_its_model_says():
    # Always the same ones: others, by chance, are for `make prove` and the lab.
    print(storing.played(1, stories=4, steps=20))


@pytest.mark.prove
def test_many_stories_of_a_store_are_as_its_model_says():
    print(f"seed {SEED}")
    print(storing.played(SEED, stories=500, steps=40))
