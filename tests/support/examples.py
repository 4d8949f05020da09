"""The number of examples for a property: all in `make prove`, a random few in each run of the suite."""

import os

# `make prove` says so.
IN_FULL = os.environ.get("EXAMPLES") == "all"
# This many runs of the suite try as many examples as one `make prove`.
RUNS = 4


def examples(in_full: int) -> int:
    """The number of examples that this run tries of a property that has `in_full` in `make prove`."""
    return in_full if IN_FULL else -(-in_full // RUNS)
