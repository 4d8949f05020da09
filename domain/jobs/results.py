"""The results of the verbs of jobs."""

from typing import Annotated

import msgspec

from domain.jobs.rows import LeasedJob
from domain.messages import about


class EnqueueResult(msgspec.Struct, frozen=True, kw_only=True):
    """There is a job with the unique key already."""

    existing: Annotated[
        str, about("the job that has the unique key; there is no result if a new job was made")
    ]


class ClaimResult(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs that the worker has now."""

    jobs: Annotated[tuple[LeasedJob, ...], about("the rows of the jobs, each with its lease")]
    retry_after_ms: Annotated[
        int | msgspec.UnsetType,
        about("milliseconds until the next claim is worthwhile, if jobs wait for a rate limit or a window"),
    ] = msgspec.UNSET
    waits_for_ends: Annotated[
        bool | msgspec.UnsetType,
        about("true if jobs wait for others of their key or queue to end; else left out"),
    ] = msgspec.UNSET


class ProgressResult(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the worker is to go on with the job."""

    cancel_requested: Annotated[bool, about("whether the worker is asked to stop")]


class HeartbeatResult(ProgressResult, frozen=True, kw_only=True):
    """Whether the worker is to go on with the job, and when its lease runs out."""

    lease_expires_at: Annotated[int, about("when the lease ends if no heartbeat comes")]


class ManyResult(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs that a filter matched: the changed ones, the skipped ones, and how many remain."""

    ids: Annotated[tuple[str, ...], about("the jobs that were changed, or with `dry_run` would be")]
    skipped: Annotated[tuple[str, ...], about("the matching jobs that could not be changed")]
    remaining: Annotated[int, about("how many more jobs match, counted up to 10,000")]
