"""The results of the verbs of jobs."""

from typing import Annotated

import msgspec

from domain.jobs.rows import LeasedJob
from domain.messages import about


class EnqueueResult(msgspec.Struct, frozen=True, kw_only=True):
    """There is a job with the unique key already."""

    existing: Annotated[str, about("the job that has the unique key; without one, there is no result")]


class ClaimResult(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs that the worker has now."""

    jobs: Annotated[tuple[LeasedJob, ...], about("the rows of the jobs, each with its lease")]
    retry_after_ms: Annotated[
        int | msgspec.UnsetType,
        about("when to ask again, where jobs wait for calls of a rate limit or for the end of a window"),
    ] = msgspec.UNSET
    waits_for_ends: Annotated[
        bool | msgspec.UnsetType,
        about("true where jobs wait until others of their key or queue end; left out else"),
    ] = msgspec.UNSET


class ProgressResult(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the worker is to go on with the job."""

    cancel_requested: Annotated[bool, about("whether the worker is asked to stop")]


class HeartbeatResult(ProgressResult, frozen=True, kw_only=True):
    """Whether the worker is to go on with the job, and when its lease runs out."""

    lease_expires_at: Annotated[int, about("when the lease runs out, if no heartbeat comes")]


class ManyResult(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs that a filter matched: the changed ones, the skipped ones, and how many remain."""

    ids: Annotated[tuple[str, ...], about("the jobs that were changed, or would be without `dry_run`")]
    skipped: Annotated[tuple[str, ...], about("those that could not be")]
    remaining: Annotated[int, about("how many more there are, 10,000 at most")]
