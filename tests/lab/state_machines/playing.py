"""Plays a state machine with chance that a seed repeats."""

import os
from collections import Counter
from typing import ClassVar

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

# What breaks is told step by step as it came. To have it made shorter takes minutes, which tests do not have:
# SHRINK=1 make lab ARGS='--only … --seed … --trials 1'.
PHASES = (Phase.generate, Phase.shrink) if os.environ.get("SHRINK") else (Phase.generate,)


class Machine(RuleBasedStateMachine):
    """One that counts what it has tried."""

    counts: ClassVar[Counter[str]]


def play(machine: type[Machine], chance: int, *, stories: int, steps: int) -> dict[str, int]:
    """What was tried in so many stories of so many steps at most, counted; the same for the same chance.

    Raises:
        AssertionError: something did not come as the model says. What led to it is in its notes.
    """
    counts: Counter[str] = Counter()
    # Another class each time: what the library notes of one stays with it.
    seeded = seed(chance)(type(machine.__name__, (machine,), {"counts": counts}))
    run_state_machine_as_test(
        seeded,
        settings=settings(
            max_examples=stories,
            stateful_step_count=steps,
            phases=PHASES,
            # Nothing that was found before comes again by itself: the seed says what is played.
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
    return dict(counts)
