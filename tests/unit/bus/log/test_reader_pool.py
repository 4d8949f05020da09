"""The pool of reading connections: lending, keeping and closing them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

import apsw
import pytest

from bus.log.reader_pool import PoolClosedError, PoolExhaustedError, ReaderPool
from migrations.connection import open_writer

DEADLINE_SECONDS = 30


class Stopwatch:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def stopwatch() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def numbers(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "some.db"
    writer = open_writer(path)
    writer.execute("CREATE TABLE numbers (value INTEGER)")
    writer.executemany("INSERT INTO numbers VALUES (?)", [(number,) for number in range(1, 11)])
    yield path
    writer.close()


@pytest.fixture
def pool(numbers: Path, stopwatch: Stopwatch) -> Iterator[ReaderPool]:
    pool = ReaderPool(numbers, maximum=3, idle_seconds=30, wait_seconds=0, clock=stopwatch)
    yield pool
    pool.close()


def test_a_lent_connection_reads_and_cannot_write(pool: ReaderPool):
    with pool.connection() as connection:
        assert connection.execute("SELECT count(*) FROM numbers").get == 10
        with pytest.raises(apsw.ReadOnlyError):
            connection.execute("DELETE FROM numbers")


def test_nothing_is_opened_before_it_is_needed(tmp_path: Path):
    pool = ReaderPool(tmp_path / "absent.db")

    assert (pool.in_use, pool.open) == (0, 0)
    with pytest.raises(apsw.CantOpenError), pool.connection():
        pass
    assert (pool.in_use, pool.open) == (0, 0)


def test_a_connection_that_came_back_is_lent_again(pool: ReaderPool):
    with pool.connection() as first:
        assert (pool.in_use, pool.open) == (1, 1)
    assert (pool.in_use, pool.open) == (0, 1)

    with pool.connection() as second:
        assert second is first


def test_more_than_the_maximum_is_refused_after_the_wait(pool: ReaderPool):
    with ExitStack() as stack:
        lent = [stack.enter_context(pool.connection()) for _ in range(3)]
        assert len(set(map(id, lent))) == 3

        with pytest.raises(PoolExhaustedError, match="all 3 reading connections"), pool.connection():
            pass

    with pool.connection():
        assert (pool.in_use, pool.open) == (1, 3)


def test_a_failure_while_opening_does_not_use_the_pool_up(tmp_path: Path):
    pool = ReaderPool(tmp_path / "absent.db", maximum=1, wait_seconds=0)

    for _ in range(3):
        with pytest.raises(apsw.CantOpenError), pool.connection():
            pass


def test_a_thread_that_waits_gets_the_connection_that_comes_back(numbers: Path):
    pool = ReaderPool(numbers, maximum=1, wait_seconds=DEADLINE_SECONDS)

    def read() -> apsw.Connection:
        with pool.connection() as connection:
            return connection

    with ThreadPoolExecutor(1) as thread:
        with pool.connection() as connection:
            waiting = thread.submit(read)
            assert not waiting.done()
        assert waiting.result(DEADLINE_SECONDS) is connection
    pool.close()


def test_many_threads_never_share_a_connection_nor_open_too_many(numbers: Path):
    pool = ReaderPool(numbers, maximum=4, wait_seconds=DEADLINE_SECONDS)
    together = Barrier(8)

    def read_often() -> int:
        together.wait(DEADLINE_SECONDS)
        most = 0
        for _ in range(200):
            with pool.connection() as connection:
                # APSW raises if two threads use a connection at the same moment.
                assert connection.execute("SELECT sum(value) FROM numbers").get == 55
                most = max(most, pool.open, pool.in_use)
        return most

    with ThreadPoolExecutor(8) as threads:
        most = max(threads.map(lambda _: read_often(), range(8)))

    assert 1 <= most <= 4
    assert pool.in_use == 0
    pool.close()


def test_what_is_idle_for_too_long_is_closed_at_the_next_use(pool: ReaderPool, stopwatch: Stopwatch):
    with pool.connection(), pool.connection():
        pass
    stopwatch.seconds += 29
    with pool.connection():
        pass
    assert pool.open == 2

    stopwatch.seconds += 1
    with pool.connection():
        pass

    # The one that was used in between stays.
    assert pool.open == 1


def test_a_pool_at_rest_closes_what_is_idle_when_it_is_told_to(pool: ReaderPool, stopwatch: Stopwatch):
    with pool.connection() as connection:
        pass
    pool.close_idle()
    assert pool.open == 1

    stopwatch.seconds += 30
    pool.close_idle()

    assert pool.open == 0
    with pytest.raises(apsw.ConnectionClosedError):
        connection.execute("SELECT 1")


@pytest.mark.parametrize("reading", ["SELECT value FROM numbers", "BEGIN; SELECT value FROM numbers"])
def test_a_connection_that_still_reads_is_not_kept(pool: ReaderPool, reading: str):
    with pool.connection() as connection:
        cursor = connection.execute(reading)
        assert next(cursor) == (1,)

    assert pool.open == 0
    with pool.connection() as another:
        assert another is not connection


def test_an_error_in_the_block_gives_the_connection_back(pool: ReaderPool):
    with pytest.raises(apsw.SQLError), pool.connection() as connection:
        connection.execute("SELECT nonsense")

    with pool.connection() as again:
        assert again is connection


def test_closing_closes_the_idle_now_and_the_lent_when_they_come_back(pool: ReaderPool):
    with pool.connection() as lent:
        with pool.connection() as idle:
            pass
        pool.close()

        with pytest.raises(apsw.ConnectionClosedError):
            idle.execute("SELECT 1")
        assert lent.execute("SELECT 1").get == 1
    with pytest.raises(apsw.ConnectionClosedError):
        lent.execute("SELECT 1")
    assert (pool.in_use, pool.open) == (0, 0)
    with pytest.raises(PoolClosedError), pool.connection():
        pass


def test_a_thread_that_waits_learns_that_the_pool_was_closed(numbers: Path):
    pool = ReaderPool(numbers, maximum=1, wait_seconds=DEADLINE_SECONDS)

    def read() -> None:
        with pool.connection():
            pass

    with ThreadPoolExecutor(1) as thread, pool.connection():
        waiting = thread.submit(read)
        pool.close()

        with pytest.raises(PoolClosedError):
            waiting.result(DEADLINE_SECONDS)


def test_the_counts_of_a_page_cache_stay_when_its_connection_is_closed(pool: ReaderPool):
    with pool.connection() as connection:
        assert connection.execute("SELECT sum(value) FROM numbers").get == 55
    assert pool.cache.misses > 0
    before = pool.cache

    with pool.connection() as connection, pool.connection() as other:
        for each in (connection, other):
            assert each.execute("SELECT count(*) FROM numbers WHERE value > 3").get == 7
    pool.close()

    assert pool.cache.hits + pool.cache.misses >= before.hits + before.misses + 2
