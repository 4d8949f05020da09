"""Groups that jobs wait for: the counts of each, and which of the waiting jobs need not wait any longer."""

from collections.abc import Callable
from itertools import chain, islice

from domain.jobs.groups import GroupCounts, kind_of, verdict

# The kind of a waiting job: `when`, and `on_dependency_failure`. Jobs of one kind wait for the same, and are
# decided alike. Held jobs are a kind of their own, about which nothing is decided.
_Kind = tuple[str, str]
HELD: _Kind = ("held", "")
# For how many groups without waiting jobs the counts are kept: those asked for last.
MAXIMUM_RECENT = 1_000


class AwaitedGroups:
    """Waiting jobs by the group that they wait for, with the counts of these. Owned by the writer's thread.

    A group is counted in the tables, by `stored`, when its counts are asked for. From then on the counts are
    kept up to date as long as a job waits for the group, and a while longer. So neither the end of a job nor
    another waiting job costs more when the group is larger.
    `to_look_at` are groups that have changed: some of the jobs that wait for them may not be decided yet.
    """

    def __init__(self, stored: Callable[[str], GroupCounts]) -> None:
        self._stored = stored
        self._waiting: dict[str, dict[_Kind, dict[str, int]]] = {}
        self._counts: dict[str, GroupCounts] = {}
        self._recent: dict[str, None] = {}
        # The changes of the open transaction, which the tables do not have yet.
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
            self.to_look_at.pop(group_id, None)
            if group_id in self._counts:
                self._keep_a_while(group_id)

    def forget(self, job_id: str, group_id: str) -> None:
        """Removes a job that has never waited for the group: its row was made by no event."""
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

    def counts(self, group_id: str) -> GroupCounts:
        """The counts of the group, as the open transaction has them."""
        known = self._counts.get(group_id)
        if known is None:
            known = self._stored(group_id).plus(self._changes.get(group_id, GroupCounts()))
            self._counts[group_id] = known
        if group_id not in self._waiting:
            self._keep_a_while(group_id)
        return known

    def first(self, group_id: str, counts: GroupCounts, limit: int) -> list[str]:
        """At most `limit` of the jobs that need not wait any longer if the group has these counts.

        Of one kind, the job that began to wait first comes first.
        """
        return list(islice(chain.from_iterable(self._free(group_id, counts)), limit))

    def undecided(self, group_id: str) -> int:
        """How many of the jobs that wait for the group need not wait any longer."""
        if group_id not in self._waiting:
            return 0
        return sum(map(len, self._free(group_id, self.counts(group_id))))

    def sort(self) -> None:
        """Puts waiting jobs in the order of their making: at a start, the tables give them in any order."""
        for kinds in self._waiting.values():
            for kind, jobs in kinds.items():
                kinds[kind] = dict(sorted(jobs.items(), key=lambda job: job[1]))

    def _free(self, group_id: str, counts: GroupCounts) -> list[dict[str, int]]:
        """The jobs that need not wait any longer, by kind."""
        return [
            jobs
            for kind, jobs in self._waiting.get(group_id, {}).items()
            if kind != HELD and verdict(*kind, counts) is not None
        ]

    def _keep_a_while(self, group_id: str) -> None:
        """Keeps the counts of a group without waiting jobs: the next one needs them; counting may be slow."""
        self._recent.pop(group_id, None)
        self._recent[group_id] = None
        if len(self._recent) > MAXIMUM_RECENT:
            oldest = next(iter(self._recent))
            del self._recent[oldest]
            if oldest not in self._waiting:
                del self._counts[oldest]
