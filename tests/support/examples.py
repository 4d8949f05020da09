"""How many examples a law is tried with: all in `make prove`, some by chance in each run of the suite."""

import os

# `make prove` says so.
IN_FULL = os.environ.get("EXAMPLES") == "all"
# So many runs of the suite try as many as `make prove` does at once.
RUNS = 4


def examples(in_full: int) -> int:
    """How many examples a run tries of a law that has so many in `make prove`."""
    return in_full if IN_FULL else -(-in_full // RUNS)
