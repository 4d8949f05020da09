from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bus.writing.jobs.due import DueJobs
from bus.writing.jobs.lane import WaitingJob

NOW = 1_000


def waiting(job_id: str, position: int, **changes) -> WaitingJob:
    defaults: dict[str, Any] = {"queue": "default", "type": "mail", "priority": 2, "run_at": NOW}
    return WaitingJob(id=job_id, created_position=position, **(defaults | changes))


def filled(*jobs: WaitingJob) -> DueJobs:
    due = DueJobs()
    for job in jobs:
        due.add(job)
    return due


def test_higher_priority_comes_first_then_the_earlier_time_then_the_earlier_position():
    due = filled(
        waiting("low", 1, priority=1, run_at=1),
        waiting("second at its time", 6, run_at=500),
        waiting("early", 3, run_at=499),
        waiting("first at its time", 4, run_at=500),
        waiting("critical", 5, priority=4),
        waiting("late", 2, run_at=501),
    )

    assert due.next("default", None, 10, NOW) == [
        "critical",
        "early",
        "first at its time",
        "second at its time",
        "late",
        "low",
    ]
    assert due.next("default", None, 2, NOW) == ["critical", "early"]


def test_a_job_comes_once_its_time_has_come():
    due = filled(waiting("later", 1, priority=4, run_at=NOW + 1), waiting("now", 2))

    assert due.next("default", None, 10, NOW) == ["now"]
    assert due.next("default", None, 10, NOW + 1) == ["later", "now"]


def test_looking_takes_nothing_away():
    due = filled(waiting("a", 1), waiting("b", 2))

    assert due.next("default", None, 1, NOW) == due.next("default", None, 1, NOW) == ["a"]
    due.remove("a")
    assert due.next("default", None, 1, NOW) == ["b"]


def test_types_filter_and_the_order_spans_them():
    due = filled(
        waiting("mail", 1), waiting("call", 2, type="call", priority=3), waiting("fax", 3, type="fax")
    )

    assert due.next("default", ["mail", "call", "mail", "none"], 10, NOW) == ["call", "mail"]
    assert due.next("default", ["none"], 10, NOW) == []
    assert due.next("default", None, 10, NOW) == ["call", "mail", "fax"]


def test_queues_know_nothing_of_each_other():
    due = filled(waiting("here", 1), waiting("there", 2, queue="other"))

    assert due.next("default", None, 10, NOW) == ["here"]
    assert due.next("other", None, 10, NOW) == ["there"]
    assert due.next("nowhere", None, 10, NOW) == []


def test_removing_a_job_that_does_not_wait_does_nothing():
    due = filled(waiting("a", 1))
    due.remove("b")
    due.remove("a")
    due.remove("a")

    assert len(due) == 0
    assert due.next("default", None, 10, NOW) == []


def test_a_job_that_comes_back_stands_where_it_belongs_now():
    due = filled(waiting("a", 1), waiting("b", 2))
    due.next("default", None, 2, NOW)
    due.remove("a")
    due.add(waiting("a", 1, run_at=NOW + 5))

    assert due.next("default", None, 10, NOW) == ["b"]
    assert due.next("default", None, 10, NOW + 5) == ["b", "a"]


def test_two_jobs_that_stood_at_one_position_one_after_the_other_are_told_apart():
    # An enqueueing that is undone leaves its position to the next one.
    due = filled(waiting("kept", 1), waiting("also kept", 2))
    for job_id in ("taken back", "taken back too", "stays"):
        due.add(waiting(job_id, 3))
        if job_id != "stays":
            due.remove(job_id)

    assert due.next("default", None, 10, NOW) == ["kept", "also kept", "stays"]


def test_a_job_that_is_there_already_is_there_once():
    due = filled(waiting("a", 1, type="call"), waiting("a", 1))

    assert due.next("default", ["call"], 10, NOW) == []
    assert due.next("default", None, 10, NOW) == ["a"]
    due.remove("a")
    due.settle()
    assert (len(due), due._queues) == (0, {})


def test_jobs_that_left_do_not_pile_up():
    due = filled(waiting("stays", 0, run_at=NOW))
    for position in range(1, 5_000):
        due.add(waiting("goes", position, run_at=NOW + position))
        due.remove("goes")
    for position in range(1, 200):
        due.add(waiting("other", position, type=f"type-{position}", queue=f"queue-{position}"))
        due.remove("other")

    due.settle()
    kinds = [kind for queue in due._queues.values() for kind in queue.types.values()]
    assert len(due) == len(kinds) == len(due._queues) == 1
    assert sum(len(kind.to_come) for kind in kinds) < 100


jobs = st.builds(
    waiting,
    st.sampled_from("abcdefgh"),
    st.integers(1, 4),
    priority=st.integers(1, 4),
    run_at=st.integers(0, 6),
    type=st.sampled_from(["mail", "call"]),
    queue=st.sampled_from(["default", "other"]),
)
steps = st.one_of(
    st.tuples(st.just("add"), jobs),
    st.tuples(st.just("remove"), st.sampled_from("abcdefgh")),
    st.tuples(
        st.just("next"),
        st.tuples(
            st.sampled_from(["default", "other"]),
            st.none() | st.lists(st.sampled_from(["mail", "call"])),
            st.integers(1, 5),
        ),
    ),
    st.tuples(st.just("later"), st.integers(1, 3)),
)


@given(st.lists(steps, max_size=60))
def test_whatever_happens_the_next_jobs_are_the_best_of_those_that_wait(history):
    due, now = DueJobs(), 0
    model: dict[str, WaitingJob] = {}
    what: Any
    for kind, what in history:
        if kind == "add":
            due.remove(what.id)
            due.add(what)
            model[what.id] = what
        elif kind == "remove":
            due.remove(what)
            model.pop(what, None)
        elif kind == "later":
            now += what
        else:
            queue, types, limit = what
            expected = best(model, queue, types, limit, now)
            assert ranks(model, due.next(queue, types, limit, now)) == ranks(model, expected)
        assert len(due) == len(model)


def best(model: dict[str, WaitingJob], queue, types, limit: int, now: int) -> list[str]:
    fitting = [
        job
        for job in model.values()
        if job.queue == queue and (types is None or job.type in types) and job.run_at <= now
    ]
    return [job.id for job in sorted(fitting, key=rank)[:limit]]


def ranks(model: dict[str, WaitingJob], ids: list[str]) -> list[tuple[int, int, int]]:
    # Two jobs with one position, which the log never has, may come in either order, but each once.
    assert len(set(ids)) == len(ids)
    return [rank(model[job_id]) for job_id in ids]


def rank(job: WaitingJob) -> tuple[int, int, int]:
    return -job.priority, job.run_at, job.created_position
