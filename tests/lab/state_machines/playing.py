"""Plays a state machine with chance that a seed repeats."""

import os
from collections import Counter
from typing import ClassVar

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

# A break is shown with all steps that led to it. To shorten them takes minutes, too long for tests: SHRINK=1
# make lab ARGS='--only … --seed … --trials 1'.
PHASES = (Phase.generate, Phase.shrink) if os.environ.get("SHRINK") else (Phase.generate,)


class Machine(RuleBasedStateMachine):
    """A state machine that counts what it has tried."""

    counts: ClassVar[Counter[str]]


def play(machine: type[Machine], chance: int, *, stories: int, steps: int) -> dict[str, int]:
    """Plays `stories` of at most `steps`; returns the counts. The same `chance` gives the same stories.

    Raises:
        AssertionError: an outcome is not that of the model. The steps that led to it are in its notes.
    """
    counts: Counter[str] = Counter()
    # A new class each time, since Hypothesis keeps notes of a class.
    seeded = seed(chance)(type(machine.__name__, (machine,), {"counts": counts}))
    run_state_machine_as_test(
        seeded,
        settings=settings(
            max_examples=stories,
            stateful_step_count=steps,
            phases=PHASES,
            # Earlier findings are not replayed: the seed alone decides what is played.
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
    return dict(counts)
