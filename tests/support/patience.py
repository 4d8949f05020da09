"""How long a test waits for what is promised within a time.

A promise is about a machine that does nothing else. `make prove` holds the service to its word; the default
suite runs on any machine, beside anything, and waits several times as long before it fails.
"""

import os

# How many times as long as is promised.
PATIENCE = float(os.environ.get("PATIENCE") or 6)


def patiently(promised_seconds: float) -> float:
    """How many seconds to wait for what is promised within so many."""
    return promised_seconds * PATIENCE
