"""Background jobs: queued, claimed under a lease, retried with backoff, rescued when a worker vanishes.

`state` draws the machine and holds the state; `commands` and `events` are the messages; one module for each
group of verbs decides about its commands, and `decider` joins them all.
"""

from domain.jobs.decider import DECIDER
from domain.jobs.state import TABLE, Job

__all__ = ["DECIDER", "TABLE", "Job"]
