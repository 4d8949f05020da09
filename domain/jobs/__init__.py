"""Background jobs: queued, claimed under a lease, retried with backoff, rescued when a worker vanishes.

`state` draws the machine and holds the state; `commands` and `events` are what is said; the deciding stands
in one module for each group of verbs, and `decider` joins them all.
"""

from domain.jobs.decider import DECIDER
from domain.jobs.state import TABLE, Job

__all__ = ["DECIDER", "TABLE", "Job"]
