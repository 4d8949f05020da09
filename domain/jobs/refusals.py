"""The refusals that several verbs share."""

from domain.decider import Context, Lease
from domain.errors import NotFound, RuleViolated
from domain.jobs.state import Job


def existing(state: Job | None, key: str) -> Job:
    """The job of a command.

    Raises:
        NotFound: there is none.
    """
    if state is None:
        raise NotFound(f"there is no job {key}")
    return state


def leased(state: Job | None, key: str, token: str, context: Context) -> tuple[Job, Lease]:
    """The running job of a command whose token is that of the lease that is out on it.

    Raises:
        NotFound: there is no such job.
        RuleViolated: the token is another one, or no lease is out.
    """
    job = existing(state, key)
    lease = context.lease(key)
    if job.state != "running" or lease is None or lease.token != token:
        raise RuleViolated(
            "stale_lease",
            f"this lease on job {key} is no longer valid",
            hint="stop working on the job: it was finished, given back, or handed to another worker",
            state=job.state,
        )
    return job, lease
