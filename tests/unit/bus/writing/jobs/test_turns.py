"""Keys take turns: one key's flood does not bury other jobs, and a claim that is undone changes nothing."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bus.writing.jobs.counts import Begins, RunningJobs
from bus.writing.jobs.due import DueJobs
from bus.writing.jobs.lane import Counted, Gate, WaitingJob
from bus.writing.jobs.permits import ClaimPermits
from domain.limiting import CountedRate
from tests.support.clock import NOW


def waiting(job_id: str, position: int, key: str | None = None, *gates: Gate, **changes: Any) -> WaitingJob:
    said: dict[str, Any] = {"queue": "default", "type": "sync", "priority": 2, "run_at": NOW} | changes
    return WaitingJob(id=job_id, created_position=position, key=key, gates=gates, **said)


def filled(*jobs: WaitingJob) -> DueJobs:
    due = DueJobs()
    for job in jobs:
        due.add(job)
    return due


def handed_out(due: DueJobs, count: int, limit: int = 1, permits: "Permits | None" = None) -> list[str]:
    """The jobs of so many claims, each in a transaction of its own."""
    ids = []
    for _ in range(count):
        for job_id in due.next("default", None, limit, NOW, (), permits):
            due.handed_out("default", due._by_id[job_id].key, job_id)
            due.remove(job_id)
            ids.append(job_id)
        due.settle()
    return ids


def test_the_flood_of_one_key_does_not_bury_the_jobs_of_others():
    due = filled(*(waiting(f"flood-{number}", number, "flood") for number in range(1_000)))
    due.add(waiting("b-1", 1_001, "b"))
    due.add(waiting("plain", 1_002))
    due.add(waiting("b-2", 1_003, "b"))

    assert handed_out(due, 6) == ["flood-0", "b-1", "plain", "flood-1", "b-2", "flood-2"]


def test_one_claim_of_many_takes_turns_as_many_claims_do():
    jobs = [
        waiting(f"{key}{number}", 10 * place + number, key)
        for place, key in enumerate("abc")
        for number in (1, 2, 3)
    ]
    one_by_one, together = filled(*jobs), filled(*jobs)

    assert handed_out(one_by_one, 9) == handed_out(together, 3, limit=3)
    assert handed_out(filled(*jobs), 1, limit=9)[:4] == ["a1", "b1", "c1", "a2"]


def test_a_higher_priority_comes_first_whoever_had_the_last_turn():
    due = filled(waiting("a1", 1, "a"), waiting("b1", 2, "b"), waiting("a2", 3, "a", priority=3))
    assert handed_out(due, 3) == ["a2", "b1", "a1"]


def test_turns_span_the_types_of_a_queue():
    due = filled(
        waiting("a1", 1, "a"), waiting("a2", 2, "a", type="mail"), waiting("b1", 3, "b", type="mail")
    )
    assert handed_out(due, 3) == ["a1", "b1", "a2"]


def test_a_key_that_comes_later_is_not_before_those_that_wait():
    due = filled(waiting("a1", 1, "a"), waiting("b1", 2, "b"), waiting("a2", 3, "a"), waiting("b2", 4, "b"))
    assert handed_out(due, 1) == ["a1"]
    due.add(waiting("c1", 5, "c"))
    assert handed_out(due, 4) == ["b1", "a2", "c1", "b2"]


def test_a_claim_that_was_taken_back_was_no_turn():
    due = filled(waiting("a1", 1, "a"), waiting("b1", 2, "b"), waiting("b2", 3, "b"))
    job = due._by_id["a1"]
    assert due.next("default", None, 1, NOW) == ["a1"]
    due.handed_out("default", "a", "a1")
    due.remove("a1")
    assert due.next("default", None, 1, NOW) == ["b1"]

    due.add(job)
    due.not_handed_out("default", "a", "a1")
    due.settle()
    assert handed_out(due, 3) == ["a1", "b1", "b2"]


def test_a_key_that_comes_after_a_claim_was_taken_back_has_the_turn_that_it_would_have_had():
    due = filled(waiting("n1", 1), waiting("a1", 2, "a"))
    job = due._by_id["n1"]
    due.handed_out("default", None, "n1")
    due.remove("n1")
    due.add(job)
    due.not_handed_out("default", None, "n1")
    due.settle()

    due.add(waiting("b1", 3, "b", priority=3))
    due.add(waiting("n2", 4, priority=3))
    assert handed_out(due, 1) == ["b1"]


def test_a_job_that_was_handed_out_twice_in_a_transaction_gives_both_turns_back():
    due = filled(waiting("a1", 1, "a"), waiting("b1", 2, "b"), waiting("a2", 3, "a"), waiting("b2", 4, "b"))
    job = due._by_id["a1"]
    for _ in range(2):
        due.handed_out("default", "a", "a1")
        due.remove("a1")
        due.add(job)
    due.handed_out("default", "b", "b1")
    due.not_handed_out("default", "b", "b1")
    for _ in range(2):
        due.not_handed_out("default", "a", "a1")
    due.settle()
    assert handed_out(due, 4) == ["a1", "b1", "a2", "b2"]


def of_two_types() -> DueJobs:
    mail = {"type": "mail"}
    return filled(waiting("a1", 1, "a"), waiting("a2", 2, "a", **mail), waiting("b1", 3, "b", **mail))


def test_what_a_search_found_is_no_turn_for_the_jobs_of_other_types():
    due = of_two_types()
    assert due.next("default", None, 2, NOW) == ["a1", "b1"]
    assert due.next("default", ["mail"], 1, NOW) == ["a2"]


def test_a_claim_that_was_taken_back_was_no_turn_for_the_jobs_of_other_types():
    due = of_two_types()
    job = due._by_id["a1"]
    due.handed_out("default", "a", "a1")
    due.remove("a1")
    assert due.next("default", ["mail"], 1, NOW) == ["b1"]
    due.add(job)
    due.not_handed_out("default", "a", "a1")
    assert due.next("default", ["mail"], 1, NOW) == ["a2"]


def test_a_job_that_comes_to_be_due_brings_its_key_forward():
    due = filled(
        waiting("a1", 1, "a"),
        waiting("a2", 2, "a", priority=4, run_at=NOW + 5),
        waiting("b1", 3, "b", priority=3),
    )
    assert due.next("default", None, 1, NOW) == ["b1"]
    assert due.next("default", None, 3, NOW + 5) == ["a2", "b1", "a1"]


class Permits:
    """Refuses jobs with a shut gate, and counts how often it is asked."""

    def __init__(self, *shut: Gate) -> None:
        self.shut = set(shut)
        self.asked = 0

    def refusal(self, job: WaitingJob) -> tuple[Gate, int | None] | None:
        self.asked += 1
        return next(((gate, None) for gate in job.gates if gate in self.shut), None)

    def took(self, job: WaitingJob, *, is_own: bool) -> None:
        pass

    def counted(self, counted: Counted) -> int:
        return 0


def test_one_that_is_let_on_and_held_up_elsewhere_lets_the_next_one_on():
    shared, of_a, of_b = Gate("begins", "api", 1, 1_000), Gate("running", "a", 1), Gate("running", "b", 1)
    due = filled(waiting("a1", 1, "a", of_a, shared), waiting("b1", 2, "b", of_b, shared))
    assert due.next("default", None, 1, NOW, (), Permits(shared)) == []
    due.changed(shared.counted)
    assert due.next("default", None, 1, NOW, (), Permits(of_a)) == ["b1"]


def test_an_urgent_one_that_came_while_the_gate_was_shut_again_goes_first_when_it_opens():
    gate = Gate("begins", "api", 1, 1_000)
    permits = Permits(gate)
    due = filled(waiting("low", 1, "a", gate, priority=1))
    assert handed_out(due, 1, permits=permits) == []
    due.add(waiting("f1", 2))
    due.add(waiting("f2", 3))
    due.add(waiting("f3", 4))
    # The gate opens and `low` may run, but others come first; then the gate shuts again.
    permits.shut.clear()
    due.changed(gate.counted)
    assert handed_out(due, 1, permits=permits) == ["f1"]
    permits.shut.add(gate)
    due.add(waiting("urgent", 5, "b", gate, priority=4))
    assert handed_out(due, 1, permits=permits) == ["f2"]

    permits.shut.clear()
    due.changed(gate.counted)
    assert handed_out(due, 3, permits=permits) == ["urgent", "f3", "low"]


def test_a_key_that_had_its_turn_elsewhere_lets_others_go_first_where_it_waited_with_them():
    gate = Gate("begins", "api", 1, 1_000)
    permits = Permits(gate)
    due = filled(waiting("a", 1, "a", gate), waiting("b", 2, "b", gate))
    assert handed_out(due, 1, permits=permits) == []
    for number in (1, 2, 3):
        due.add(waiting(f"a{number}", 2 + number, "a", run_at=NOW - 1))

    permits.shut.clear()
    due.changed(gate.counted)
    # A search without a claim is no turn, so the claims begin with the same job.
    assert due.next("default", None, 3, NOW, (), permits) == ["a1", "b", "a2"]
    assert handed_out(due, 5, permits=permits) == ["a1", "b", "a2", "a3", "a"]


class CountingPermits(ClaimPermits):
    """The permits of a claim, with these running jobs; counts how often it is asked."""

    def __init__(self, running: RunningJobs) -> None:
        super().__init__(lambda _: None, lambda _: 0, running, Begins(), NOW)
        self.asked = 0

    def refusal(self, job: WaitingJob) -> tuple[Gate, int | None] | None:
        self.asked += 1
        return super().refusal(job)


def test_an_end_costs_a_look_at_few_however_many_different_limits_a_key_has():
    due, running = DueJobs(), RunningJobs()
    for limit in range(1, 1_001):
        due.add(waiting(f"j{limit}", limit, "api", Gate("running", "api", limit)))
        running.add("api")
    assert due.next("default", None, 1, NOW, (), CountingPermits(running)) == []

    running.remove("api")
    due.changed(("running", "api", 0), running.of("api"))
    for _ in range(2):
        # A job that a search takes shuts no gate of the others, and causes no look at them.
        permits = CountingPermits(running)
        assert due.next("default", None, 1, NOW, (), permits) == ["j1000"]
        assert permits.asked < 5


def test_what_opens_for_one_of_many_costs_a_look_at_few_of_them():
    shared = Gate("begins", "api", 1, 1_000)
    due = filled(
        *(waiting(f"j{key}", key, str(key), Gate("running", str(key), 1), shared) for key in range(2_000))
    )
    permits = Permits(shared)
    assert due.next("default", None, 1, NOW, (), permits) == []

    for number in range(200):
        permits.asked = 0
        permits.shut.clear()
        due.changed(shared.counted)
        assert due.next("default", None, 1, NOW, (), permits) == [f"j{number}"]
        due.handed_out("default", str(number), f"j{number}")
        due.remove(f"j{number}")
        due.settle()
        permits.shut.add(shared)
        assert due.next("default", None, 1, NOW, (), permits) == []
        assert permits.asked <= 4


def test_keys_without_waiting_jobs_are_forgotten():
    due = filled(waiting("stays", 0))
    for number in range(1_000):
        due.add(waiting(f"j{number}", number, f"key-{number}"))
        assert len(handed_out(due, 1)) == 1
    assert len(due._queues["default"].round) <= 2


def test_begins_that_are_over_are_dropped_however_many_keys_there_were():
    begins = Begins()
    for number in range(5_000):
        begins.add(CountedRate(key=f"key-{number}", window_ms=10), NOW + number)
    assert len(begins) < 200
    one = CountedRate(key="key-4999", window_ms=10)
    assert begins.room(one, 2, NOW + 5_000) == (1, NOW + 5_009)
    assert begins.room(one, 1, NOW + 5_008) == (0, NOW + 5_009)
    assert begins.room(one, 1, NOW + 5_009) == (1, NOW + 5_019)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from([None, "a", "b", "c"]), st.integers(1, 2)),
        st.tuples(st.just("claim"), st.integers(1, 4), st.booleans()),
        st.tuples(st.just("cancel"), st.integers(0, 30), st.booleans()),
    ),
    max_size=60,
)


@given(steps)
def test_whatever_happens_the_next_job_is_that_of_the_key_whose_turn_it_is(history):
    due = DueJobs()
    model: dict[str, WaitingJob] = {}
    turns: dict[str | None, int] = {}
    last = position = 0
    what: Any
    for kind, what, also in history:
        if kind == "add":
            position += 1
            job = waiting(f"j{position}", position, what, priority=also, type=f"type {position % 2}")
            due.add(job)
            model[job.id] = job
            turns.setdefault(what, last)
        elif kind == "cancel" and model:
            due.remove(sorted(model)[what % len(model)])
            del model[sorted(model)[what % len(model)]]
        elif kind == "claim":
            left, then, then_last = dict(model), dict(turns), last
            expected: list[WaitingJob] = []
            while left and len(expected) < what:
                best = min(
                    left.values(), key=lambda job: (-job.priority, then[job.key], job.created_position)
                )
                del left[best.id]
                expected.append(best)
                if len(then) > 1:
                    then_last += 1
                    then[best.key] = then_last
            assert due.next("default", None, what, NOW) == [job.id for job in expected]
            for job in expected:
                due.handed_out("default", job.key, job.id)
                due.remove(job.id)
            if also:
                for job in reversed(expected):
                    due.add(job)
                    due.not_handed_out("default", job.key, job.id)
            else:
                model, turns, last = left, then, then_last
        due.settle()
        turns = {key: turn for key, turn in turns.items() if any(job.key == key for job in model.values())}
        assert len(due) == len(model)
