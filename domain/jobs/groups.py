"""Groups of jobs: how their jobs ended, and when a job that waits for a group goes on.

A group is a name that jobs share. It has no events of its own, and is there as long as a job has the name. A
job may wait for a group, as it may for jobs that it depends on. The group's counts are looked at when one of
its jobs ends, and when a job begins to wait:

    all_completed   it goes on once all jobs of the group have completed; it can not once one has not
    all_ended       once all have ended, however they did
    one_failed      as soon as one has failed, timed out or was cancelled; it can not once all have completed

"All" are the jobs that the group has at that time; a group without jobs fulfils none of these. A condition
that cannot be met any more may be met later all the same, since jobs are retried and new ones join the group.
So `on_dependency_failure` decides then, as it does for jobs: the waiting job is cancelled, waits on, or runs
once all have ended.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

GroupOutcome = Literal["all_completed", "all_ended", "one_failed"]
# The verdict on a waiting job: it goes on, or is cancelled.
Verdict = Literal["go_on", "cancel"]


class AwaitedGroup(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The group that a job waits for, or has waited for until `met_at`."""

    id: str
    when: GroupOutcome
    met_at: int | None = None


class GroupCounts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How many jobs of a group are not finished, have completed, and have ended without that."""

    unfinished: int = 0
    completed: int = 0
    unsuccessful: int = 0

    def moved(self, old: str | None, new: str | None) -> "GroupCounts":
        """The counts after a job came from one state (none: it is new) to another (none: it is archived)."""
        counts = msgspec.structs.asdict(self)
        if old is not None:
            counts[kind_of(old)] -= 1
        if new is not None:
            counts[kind_of(new)] += 1
        return GroupCounts(**counts)

    def plus(self, other: "GroupCounts") -> "GroupCounts":
        """The sum of two counts."""
        return GroupCounts(
            unfinished=self.unfinished + other.unfinished,
            completed=self.completed + other.completed,
            unsuccessful=self.unsuccessful + other.unsuccessful,
        )


def counts_of(states: Mapping[str, int]) -> GroupCounts:
    """The counts of a group that has so many jobs in each state."""
    counts = dict.fromkeys(GroupCounts.__struct_fields__, 0)
    for state, count in states.items():
        counts[kind_of(state)] += count
    return GroupCounts(**counts)


def verdict(when: str, on_failure: str, counts: GroupCounts) -> Verdict | None:
    """The verdict on a job that waits for a group with these counts; `None` if it waits on."""
    has_failed = counts.unsuccessful > 0
    all_ended = counts.unfinished == 0 and (has_failed or counts.completed > 0)
    if when == "one_failed":
        is_so, is_lost = has_failed, all_ended and not has_failed
    else:
        is_so = all_ended and (when == "all_ended" or not has_failed)
        is_lost = when == "all_completed" and has_failed
    if is_so or (is_lost and on_failure == "run" and all_ended):
        return "go_on"
    return "cancel" if is_lost and on_failure == "cancel" else None


def kind_of(state: str) -> str:
    """The field of `GroupCounts` in which a job in this state is counted."""
    if state == "completed":
        return "completed"
    return "unsuccessful" if state in ("failed", "cancelled", "timeout") else "unfinished"
