from bus.writing.jobs.depth import Depth
from bus.writing.jobs.indexes import JobIndexes, OpenJob

NOW = 1_000
YEAR_2100 = 4_102_444_800_000


def job(job_id: str, state: str, queue: str = "default", run_at: int = NOW) -> OpenJob:
    return OpenJob(
        id=job_id, type="mail", priority=2, queue=queue, state=state, run_at=run_at, created_position=1
    )


def test_a_job_that_is_due_in_2100_is_scheduled_and_does_not_wait():
    indexes = JobIndexes([job("a", "scheduled", run_at=YEAR_2100), job("b", "retrying", run_at=NOW + 1)])

    assert indexes.depths(NOW)[0] == {"default": Depth(scheduled=2)}
    assert indexes.depths(YEAR_2100)[0] == {"default": Depth(due=2, oldest_due_at=NOW + 1)}


def test_jobs_are_counted_by_queue_and_by_what_keeps_them():
    indexes = JobIndexes(
        [
            job("a", "pending", run_at=700),
            job("b", "scheduled", run_at=300),
            job("c", "retrying", run_at=500),
            job("d", "running", "mails"),
            job("e", "held", "mails", run_at=1),
            job("f", "blocked", "mails", run_at=1),
            job("g", "blocked", "mails"),
        ]
    )

    depths = indexes.depths(NOW)[0]

    assert depths == {
        "default": Depth(due=3, oldest_due_at=300),
        "mails": Depth(running=1, held=1, blocked=2),
    }
    assert depths["default"].overdue_seconds(NOW) == 0.7
    assert depths["mails"].overdue_seconds(NOW) == 0


def test_of_more_jobs_than_are_looked_at_at_once_none_is_left_out():
    indexes = JobIndexes(job(str(number), "pending", run_at=NOW - number) for number in range(2_500))

    assert indexes.depths(NOW)[0] == {"default": Depth(due=2_500, oldest_due_at=NOW - 2_499)}
