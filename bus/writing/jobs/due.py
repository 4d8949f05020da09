"""`DueJobs`: the waiting jobs of every queue, in memory, in the order in which they are handed out."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping
from operator import attrgetter

import msgspec

from bus.writing.jobs.by_type import JobsOfType, Permits
from bus.writing.jobs.lane import Counted, DueEntry, Gate, Lane, WaitingJob
from bus.writing.jobs.turns import Round
from domain.rate_limits.job_calls import Account, accounts_over

# How many jobs one search passes over because the sender may not use their keys. A user that shares a queue
# with more of them needs a queue of its own.
MAXIMUM_PASSED_OVER = 10_000
# When to ask again if jobs wait for something that cannot be foreseen, such as calls that are never made.
ASK_AGAIN_MS = 1_000


_limit = attrgetter("limit")


class _Gates(msgspec.Struct, gc=False):
    """The gates that count the same, in the order of their limits, and the types that have to pass each."""

    by_limit: list[Gate]
    types: dict[Gate, dict[JobsOfType, None]]


class _Queue(msgspec.Struct, gc=False):
    """The waiting jobs of a queue by type, and the turns of their keys."""

    round: Round
    types: dict[str, JobsOfType]


class DueJobs:
    """Waiting jobs by queue and type. Owned by the writer's thread."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}
        # The gates that waiting jobs have to pass, by what they count.
        self._by_counted: dict[Counted, _Gates] = {}
        # The rate limits that jobs draw on, by the accounts whose waits hold them up.
        self._by_account: dict[Account, dict[str, None]] = {}
        self._by_id: dict[str, WaitingJob] = {}
        # The queues in which a key has had a turn, or may have left, in the open transaction.
        self._unsettled: set[str] = set()

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[WaitingJob]:
        """All of them, in no order. Any thread may ask: the interpreter copies them in one go."""
        return list(self._by_id.values())

    def add(self, job: WaitingJob) -> None:
        """From now on the job waits."""
        if self._by_id.setdefault(job.id, job) is not job:
            # The job waits already, perhaps in another lane: its row was made by no event.
            self.remove(job.id)
            self._by_id[job.id] = job
        queue = self._queues.get(job.queue)
        if queue is None:
            queue = self._queues[job.queue] = _Queue(Round(), {})
        of_type = queue.types.get(job.type)
        if of_type is None:
            of_type = queue.types[job.type] = JobsOfType(self._by_id, queue.round)
        queue.round.add(job.key)
        of_type.add(job)
        for gate in job.gates:
            gates = self._by_counted.get(gate.counted)
            if gates is None:
                gates = self._by_counted[gate.counted] = _Gates([], {})
                for account in _accounts(gate):
                    self._by_account.setdefault(account, {})[gate.key] = None
            if gate not in gates.types:
                insort(gates.by_limit, gate, key=_limit)
                gates.types[gate] = {}
            gates.types[gate][of_type] = None

    def remove(self, job_id: str) -> None:
        """From now on the job does not wait; nothing happens if it did not."""
        job = self._by_id.pop(job_id, None)
        if job is None:
            return
        queue = self._queues[job.queue]
        queue.round.remove(job.key)
        self._unsettled.add(job.queue)
        of_type = queue.types[job.type]
        of_type.remove(job)
        # Clients choose the names of types and keys, so empty ones must not stay.
        for gate in job.gates:
            if not of_type.has(gate):
                self._forget(gate, of_type)
        if not of_type.count:
            del queue.types[job.type]

    def _forget(self, gate: Gate, of_type: JobsOfType) -> None:
        gates = self._by_counted[gate.counted]
        types = gates.types[gate]
        del types[of_type]
        if types:
            return
        del gates.types[gate]
        # Gates that count the same have different limits.
        del gates.by_limit[bisect_left(gates.by_limit, gate.limit, key=_limit)]
        if gates.types:
            return
        del self._by_counted[gate.counted]
        for account in _accounts(gate):
            del self._by_account[account][gate.key]
            if not self._by_account[account]:
                del self._by_account[account]

    def handed_out(self, queue: str, key: str | None, job_id: str) -> None:
        """Notes that a waiting job is handed out: its key has had a turn. Called before it is removed."""
        if (found := self._queues.get(queue)) is not None:
            found.round.take(key, job_id)
            self._unsettled.add(queue)

    def not_handed_out(self, queue: str, key: str | None, job_id: str) -> None:
        """Takes back that the job was handed out."""
        if (found := self._queues.get(queue)) is not None:
            found.round.give_back(key, job_id)

    def settle(self) -> None:
        """The open transaction is on disk, or was taken back."""
        for name in self._unsettled:
            # Clients choose the names of queues, so empty ones must not stay.
            if not self._queues[name].round.settle():
                del self._queues[name]
        self._unsettled.clear()

    def next(
        self,
        queue: str,
        types: Iterable[str] | None,
        limit: int,
        now: int,
        keys: tuple[str, ...] = (),
        permits: Permits | None = None,
    ) -> list[str]:
        """At most `limit` ids of due jobs that may run.

        Jobs of higher priority come first; of one priority, keys take turns; of one key, the earlier `run_at`
        comes first, then the position. With `keys`, only ids that begin with one of them; at most
        `MAXIMUM_PASSED_OVER` others are passed over. Without `permits`, no gate holds a job up.
        """
        found_queue = self._queues.get(queue)
        if found_queue is None:
            return []
        turns = found_queue.round
        if turns.changed:
            for one in found_queue.types.values():
                one.take_turns_anew()
            turns.changed.clear()
        chosen = _chosen(found_queue.types, types)
        taken: list[tuple[JobsOfType, Lane, DueEntry]] = []
        ids: list[str] = []
        while len(ids) < limit and len(taken) < limit + MAXIMUM_PASSED_OVER:
            found = [(one, best) for one in chosen if (best := one.best(now, permits)) is not None]
            if not found:
                break
            of_type, (_, lane) = min(found, key=lambda pair: _place(pair[1], turns))
            turns.take_in_search(lane.key)
            entry = of_type.take(lane)
            taken.append((of_type, lane, entry))
            job = entry[-1]
            is_own = not keys or job.id.startswith(keys)
            if is_own:
                ids.append(job.id)
            if permits is not None:
                permits.took(job, is_own=is_own)
        self._put_back(taken, turns, permits)
        return ids

    def _put_back(
        self, taken: list[tuple[JobsOfType, Lane, DueEntry]], turns: Round, permits: Permits | None
    ) -> None:
        """Puts the jobs of a search back: the caller takes out with `remove` those that it hands out."""
        turns.end_search()
        for of_type, lane, entry in taken:
            of_type.put_back(lane, entry)
        for counted in {one: None for _, _, entry in taken for one in entry[-1].counts_for()}:
            # Other lanes may be held up only because these jobs were counted.
            self.changed(counted, 0 if permits is None else permits.counted(counted))

    def held_until(self, queue: str, types: Iterable[str] | None, now: int) -> int | None:
        """When to ask again if due jobs are held up; `None` if none is, or if that is unknown.

        That is when the first of them may go on, or when another job becomes due, if that is earlier. Only
        what `next` has found out counts.
        """
        chosen = self._of_types(queue, types)
        held = [one.held_until(now + ASK_AGAIN_MS) for one in chosen]
        first = min((moment for moment in held if moment is not None), default=None)
        if first is None:
            return None
        to_come = [one.to_come.first_at() for one in chosen]
        return max(now, min([first, *(moment for moment in to_come if moment is not None)]))

    def waits_for_ends(self, queue: str, types: Iterable[str] | None) -> bool:
        """Whether due jobs are held up until others of their keys end, as far as `next` has found out."""
        return any(one.waits_for_ends for one in self._of_types(queue, types))

    def limits(self) -> list[str]:
        """The rate limits that waiting jobs draw on."""
        return [key for kind, key, _ in self._by_counted if kind == "calls"]

    def limits_of(self, account: Account) -> list[str]:
        """The rate limits of waiting jobs that are held up while the calls of an account are."""
        return list(self._by_account.get(account, ()))

    def limit_changed(self, limit: str) -> None:
        """Notes that the state of a rate limit has changed: jobs that wait for it are looked at again."""
        self.changed(Gate("calls", limit).counted)

    def changed(self, counted: Counted, count: int = 0) -> None:
        """Notes that some gates may let more jobs through: those held up there are looked at again.

        `count` is how many are counted now. Gates whose limit is not higher stay shut and are not looked at,
        since a key may have many different limits; 0: all gates are looked at.
        """
        gates = self._by_counted.get(counted)
        if gates is None:
            return
        first = bisect_right(gates.by_limit, count, key=_limit) if count else 0
        for gate in gates.by_limit[first:]:
            for one in gates.types[gate]:
                one.look_at(gate)

    def _of_types(self, queue: str, types: Iterable[str] | None) -> list[JobsOfType]:
        found = self._queues.get(queue)
        return [] if found is None else _chosen(found.types, types)


def _chosen(by_type: Mapping[str, JobsOfType], types: Iterable[str] | None) -> list[JobsOfType]:
    """The jobs of these types, or of all types if `types` is `None`."""
    return list(by_type.values()) if types is None else [by_type[one] for one in set(types) if one in by_type]


def _place(best: tuple[DueEntry, Lane], turns: Round) -> tuple[int, int, int, int]:
    entry, lane = best
    return entry[0], turns.of(lane.key), entry[1], entry[2]


def _accounts(gate: Gate) -> tuple[Account, ...]:
    return accounts_over(gate.key) if gate.kind == "calls" else ()
