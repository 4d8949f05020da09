"""`Upkeep`: commands that the service itself gives, without any sender.

The writer asks for them every half second and takes them into the next group, so that they are decided,
stored and undone like all others.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

from bus.writing.aggregates import Aggregates
from bus.writing.group_context import FRONT, Place, PlacedJob
from bus.writing.submission import Request, Submission
from domain.catalogue import VERBS
from domain.decider import EXPIRE
from domain.jobs.limits import DEFAULT_LEASE_MS, DEPENDENTS_AT_ONCE

# How many of each kind one group gets at most; the rest follows in the next one.
MAXIMUM_COMMANDS = 1_000
# The same for jobs that wait for jobs or groups, and for what they wait for: a group may have to be counted.
MAXIMUM_TOLD = 1_000
MAXIMUM_LOOKED_AT = 100
# The same for jobs that may leave the tables.
MAXIMUM_PRUNED = 500


class Upkeep:
    """Finds the upkeep that is due. Owned by the writer's thread.

    `orphans` are running jobs without a lease: it was lost with a restore, or its rescue was not stored.
    `began_at` is when the service began: a worker whose job ended while it was down has time to say so.
    `ended_jobs` answers with the jobs that ended in a state until a time, behind a place, up to a limit; they
    are archived once they ended longer ago than `prune_after_ms` says. So are the jobs of `expired_results`,
    which were given a time for their results to stay.
    `expired_rows` answers with the tables and keys of rows that expired by a time, up to a limit of each.
    `has_more` says that there is more to do at once than one group takes. `failures` are the errors for which
    some kinds of upkeep could not be found the last time.
    """

    def __init__(
        self,
        aggregates: Aggregates,
        ended_jobs: Callable[[str, int, Place, int], Iterable[PlacedJob]],
        expired_results: Callable[[int, Place, int], Iterable[PlacedJob]],
        prune_after_ms: Mapping[str, int],
        expired_rows: Callable[[int, int], Iterable[tuple[str, str]]],
    ) -> None:
        self._aggregates = aggregates
        self._ended_jobs = ended_jobs
        self._expired_results = expired_results
        self._prune_after_ms = prune_after_ms
        self._expired_rows = expired_rows
        # The place of the last ended job that was looked at, by state, and of the last expired result.
        self._scanned: dict[str, Place] = {}
        self.orphans: set[str] = set()
        self.began_at = 0
        self.has_more = False
        self.failures: list[Exception] = []
        # By command, how many jobs waited for each key that got portions at the last call.
        self._told: dict[str, dict[str, int]] = {}

    def commands(self, now: int) -> list[Submission]:
        """The commands that are due at `now`; those that were not stored come again at the next call."""
        self.has_more = False
        self.failures = []
        dependents, groups = self._aggregates.jobs.dependents, self._aggregates.jobs.groups
        kinds: tuple[Callable[[], Iterable[Submission]], ...] = (
            lambda: _each("jobs.rescue", self._lost(now)),
            lambda: _each("jobs.time_out", self._too_long(now)),
            lambda: _each("schedules.run", self._scheduled(now)),
            lambda: self._portions("jobs.resolve_dependents", dependents.ended, dependents.left),
            lambda: self._portions("jobs.resolve_group", groups.to_look_at, groups.undecided),
            lambda: _each("jobs.archive", self._outdated(now)),
            lambda: self._expired(now),
        )
        commands: list[Submission] = []
        for found in kinds:
            try:
                commands += found()
            # The rows that one kind reads may be damaged: the other kinds come all the same.
            except Exception as error:
                self.failures.append(error)
        return commands

    def take_back(self, submissions: Iterable[Submission]) -> None:
        """Notes that these were not stored: jobs without a lease are still to be rescued."""
        self.has_more = False
        for one in submissions:
            for request in one.requests:
                if isinstance(request, Request) and request.verb.name == "rescue":
                    self.orphans.add(request.command.id)

    def _lost(self, now: int) -> list[str]:
        expired = [one.job_id for one in self._aggregates.leases.values() if one.expires_at <= now]
        lost = [*expired, *self.orphans][:MAXIMUM_COMMANDS]
        self.orphans.difference_update(lost)
        return lost

    def _too_long(self, now: int) -> list[str]:
        if now < self.began_at + DEFAULT_LEASE_MS:
            return []
        deadlines = self._aggregates.jobs.deadlines
        return [job_id for job_id, deadline in deadlines.items() if deadline <= now][:MAXIMUM_COMMANDS]

    def _scheduled(self, now: int) -> list[str]:
        next_runs = self._aggregates.next_runs
        return [key for key, next_run_at in next_runs.items() if next_run_at <= now][:MAXIMUM_COMMANDS]

    def _outdated(self, now: int) -> list[str]:
        """The jobs to archive: they ended long enough ago, by the settings or by their own time for results.

        Jobs that others wait for stay.
        """
        limit = MAXIMUM_PRUNED // (1 + len(self._prune_after_ms))
        found = self._looked_through("result", partial(self._expired_results, now), limit)
        for state, age_ms in self._prune_after_ms.items():
            found += self._looked_through(state, partial(self._ended_jobs, state, now - age_ms), limit)
        # A job may be found in both ways.
        return list(dict.fromkeys(found))

    def _looked_through(
        self, name: str, jobs_behind: Callable[[Place, int], Iterable[PlacedJob]], limit: int
    ) -> list[str]:
        """The next ended jobs, behind those looked at the last time, without those that others wait for."""
        jobs = self._aggregates.jobs
        rows = list(jobs_behind(self._scanned.get(name, FRONT), limit))
        found = [
            job_id
            for job_id, group_id, _ in rows
            if not jobs.dependents.is_awaited(job_id)
            and (group_id is None or not jobs.groups.is_awaited(group_id))
        ]
        # Jobs that stay must not hide those behind them. After the last one, it begins at the front again.
        is_full = len(rows) == limit
        self._scanned[name] = rows[-1][2] if is_full else FRONT
        self.has_more |= is_full and bool(found)
        return found

    def _expired(self, now: int) -> Iterator[Submission]:
        """Commands that end the rows that have expired by now, of each table the longest expired first.

        An index of each table finds them. Nothing is kept in memory, so a restart loses none; a command that
        could not be stored is found again the next time. A row that has expired is not shown, even while its
        command still waits.
        """
        for table, key in self._expired_rows(now, MAXIMUM_COMMANDS):
            yield _submission(f"{table}.{EXPIRE}", key)

    def _portions(
        self, name: str, waited_for: dict[str, Any], count: Callable[[str], int]
    ) -> Iterator[Submission]:
        """Commands that each decide a portion of the jobs that wait for a key, as many as fit in a group.

        A key that no job waits for any longer leaves `waited_for`; one that gets commands moves to its end.
        """
        told = self._told.get(name, {})
        has_gone_on = not told or any(count(key) < before for key, before in told.items())
        self._told[name] = told = {}
        portions: list[str] = []
        left = MAXIMUM_TOLD
        for key in list(islice(waited_for, MAXIMUM_LOOKED_AT)):
            if left <= 0:
                break
            waiting = count(key)
            if waiting == 0:
                del waited_for[key]
                has_gone_on = True
                continue
            waited_for[key] = waited_for.pop(key)
            told[key] = waiting
            portions += [key] * -(-min(waiting, left) // DEPENDENTS_AT_ONCE)
            left -= waiting
        # As long as the last portions had an effect, the next ones come at once.
        self.has_more |= has_gone_on and (left < 0 or len(waited_for) > len(told))
        return _each(name, portions)


def _each(name: str, keys: Iterable[str]) -> Iterator[Submission]:
    for key in keys:
        yield _submission(name, key)


def _submission(name: str, key: str) -> Submission:
    """A command with one field, the key of its aggregate."""
    decider, verb = VERBS[name]
    (field,) = verb.command.__struct_fields__
    request = Request(name=name, decider=decider, verb=verb, command=verb.command(**{field: key}))
    return Submission(requests=[request], size_bytes=0)
