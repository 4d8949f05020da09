"""Groups that jobs wait for: what each has come to, and which of the jobs that wait need not any longer."""

from collections.abc import Callable, Iterable
from heapq import nsmallest

from domain.jobs.groups import GroupCounts, kind_of, verdict

# Jobs about which is decided alike, since they wait for the same: `when`, and `on_dependency_failure`. Apart
# from them those that are held, about which nothing is decided.
_Kind = tuple[str, str]
HELD: _Kind = ("held", "")


class AwaitedGroups:
    """Waiting jobs by the group that they wait for, with the counts of these. Owned by the writer's thread.

    A group is counted in the tables, by `stored`, when somebody asks what it has come to, and kept up to date
    from then on as long as a job waits for it: so what the end of a job costs does not grow with its group.
    `to_look_at` are groups that have changed: not all that follows from that may be decided yet.
    """

    def __init__(self, stored: Callable[[str], GroupCounts]) -> None:
        self._stored = stored
        self._waiting: dict[str, dict[_Kind, dict[str, int]]] = {}
        self._counts: dict[str, GroupCounts] = {}
        # What the open transaction has changed: the tables do not have it yet.
        self._changes: dict[str, GroupCounts] = {}
        self.to_look_at: dict[str, None] = {}

    def add(self, job_id: str, created_position: int, group_id: str, kind: _Kind) -> None:
        """From now on the job waits for the group."""
        self._waiting.setdefault(group_id, {}).setdefault(kind, {})[job_id] = created_position
        self.to_look_at[group_id] = None

    def remove(self, job_id: str, group_id: str, kind: _Kind) -> None:
        """From now on the job does not wait for the group; nothing happens if it did not."""
        kinds = self._waiting.get(group_id, {})
        jobs = kinds.get(kind, {})
        jobs.pop(job_id, None)
        if not jobs:
            kinds.pop(kind, None)
        if not kinds:
            self._waiting.pop(group_id, None)
            self._counts.pop(group_id, None)
            self.to_look_at.pop(group_id, None)

    def forget(self, job_id: str, group_id: str) -> None:
        """The job does not wait for the group, nor ever has: a row said so that no event made."""
        for kind in list(self._waiting.get(group_id, ())):
            self.remove(job_id, group_id, kind)

    def member_changed(self, group_id: str, old: str | None, new: str | None) -> None:
        """A job of the group came from one state (none: it is new) to another (none: it is archived)."""
        if old is not None and new is not None and kind_of(old) == kind_of(new):
            return
        self._changes[group_id] = self._changes.get(group_id, GroupCounts()).moved(old, new)
        if group_id in self._counts:
            self._counts[group_id] = self._counts[group_id].moved(old, new)
        if group_id in self._waiting:
            self.to_look_at[group_id] = None

    def settle(self) -> None:
        """The open transaction is in the tables, or was taken back."""
        self._changes.clear()

    def is_awaited(self, group_id: str) -> bool:
        """Whether any job waits for the group."""
        return group_id in self._waiting

    def awaited(self) -> Iterable[str]:
        """The groups that jobs wait for."""
        return self._waiting

    def counts(self, group_id: str) -> GroupCounts:
        """What the group has come to, as the open transaction has it."""
        known = self._counts.get(group_id)
        if known is None:
            known = self._stored(group_id).plus(self._changes.get(group_id, GroupCounts()))
            if group_id in self._waiting:
                self._counts[group_id] = known
        return known

    def first(self, group_id: str, counts: GroupCounts | None, limit: int) -> list[str]:
        """At most `limit` of the jobs that wait for the group, the oldest first.

        With `counts`, those that do not wait any longer when it is like that.
        """
        waiting = self._kinds(group_id, counts)
        jobs = waiting[0] if len(waiting) == 1 else {key: at for kind in waiting for key, at in kind.items()}
        return nsmallest(limit, jobs, key=lambda job: jobs[job])

    def undecided(self, group_id: str) -> int:
        """How many of the jobs that wait for the group need not any longer."""
        if group_id not in self._waiting:
            return 0
        return sum(map(len, self._kinds(group_id, self.counts(group_id))))

    def _kinds(self, group_id: str, counts: GroupCounts | None) -> list[dict[str, int]]:
        return [
            jobs
            for kind, jobs in self._waiting.get(group_id, {}).items()
            if counts is None or (kind != HELD and verdict(*kind, counts) is not None)
        ]
