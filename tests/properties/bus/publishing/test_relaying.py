"""After any changes of log and stream, the stream equals the log, or the relay names the repair."""

import pytest

from tests.lab.state_machines import relaying
from tests.support.chance import SEED


# On a busy machine, a story may take a minute.
@pytest.mark.timeout(1_200)
def test_a_few_stories_of_a_relay_are_as_its_model_says():
    # Always the same ones: others, by chance, are for `make prove` and the lab.
    print(relaying.played(1, stories=2, steps=12))


@pytest.mark.prove
def test_many_stories_of_a_relay_are_as_its_model_says():
    print(f"seed {SEED}")
    print(relaying.played(SEED, stories=60, steps=40))
