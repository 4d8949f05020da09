"""Events and answers that a log lacks, read from a file: in frames that fit into messages of the log."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from bus.log.chain import Head
from bus.log.cloud_events import Origin
from bus.replication import putting_back
from bus.replication.frame import Frame, messages_of
from bus.replication.putting_back import FRAME_ANSWERS, FRAME_BYTES, Lacking
from bus.writing.content import read_leases
from migrations.connection import open_reader
from tests.support.stores.replicated import STORE_ID, followed_file, replicated_content
from tests.support.stores.writing import Sent, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "hyperpage.db", next_upkeep=float("inf"), synced=False) as store:
        yield store


def sent(store: Store) -> list[Frame]:
    """The frames that hold the whole content of the store's file."""
    lacking = Lacking(Origin(STORE_ID), 1, Head(), 0, {}, trails=True)
    with closing(open_reader(store.path)) as reader:
        return list(iter(lambda: lacking.next(reader), None))


def carried_over(store: Store, frames: Sequence[Frame], folder: Path) -> bool:
    """Whether a follower that applies these frames has the same content as the store."""
    with followed_file(folder / "followed.db") as follower, closing(open_reader(store.path)) as reader:
        for frame in frames:
            follower.apply([frame])
        here, there = replicated_content(reader), replicated_content(follower.connection)
        return here == there


def set_value(number: int, value: Any = 1) -> Sent:
    return Sent("app_state.set", {"key": "k", "value": value}, id=f"c-{number}")


def claims(store: Store, count: int, payload_bytes: int) -> list[Sent]:
    """So many commands that claim a job each; the jobs are enqueued, and the answers have their payloads."""
    payload = {"text": "x" * payload_bytes}
    for number in range(count):
        body = {"id": f"j-{number}", "type": "mail", "name": "A mail", "payload": payload}
        assert store.send("jobs.enqueue", body).code is None
        store.clock.now += 1
    return [Sent("jobs.claim", {"worker": "w"}, id=f"claim-{number}") for number in range(count)]


def answer_bytes(frame: Frame) -> int:
    return sum(len(answer[3]) for answer in frame.answers)


def test_answers_to_commands_that_changed_nothing_go_into_as_many_frames_as_they_need(
    store: Store, tmp_path: Path
):
    for first in range(0, 2 * FRAME_ANSWERS + 500, 500):
        assert {one.code for one in store.send_together(*map(set_value, range(first, first + 500)))} == {None}
        store.clock.now += 1

    frames = sent(store)

    assert [len(one.answers) for one in frames] == [FRAME_ANSWERS, FRAME_ANSWERS, 500]
    assert carried_over(store, frames, tmp_path)


def test_large_answers_go_into_as_many_frames_as_they_need(store: Store, tmp_path: Path):
    for claim in claims(store, 50, 250_000):
        assert store.send(*claim[:2], id=claim.id).code is None
        store.clock.now += 1

    frames = sent(store)

    assert max(map(answer_bytes, frames)) < FRAME_BYTES + 300_000
    assert all(map(messages_of, frames))
    assert carried_over(store, frames, tmp_path)


def test_a_transaction_whose_answers_no_frame_would_hold_is_parted_between_commands(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(putting_back, "FRAME_BYTES", 10_000)
    monkeypatch.setattr(putting_back, "TRANSACTION_BYTES", 40_000)
    assert {one.code for one in store.send_together(*claims(store, 20, 5_000))} == {None}

    frames = sent(store)

    assert max(map(answer_bytes, frames)) < 40_000 + 6_000
    assert [one.last for one in frames] == sorted({one.last for one in frames})
    assert carried_over(store, frames, tmp_path)


def test_of_many_leases_only_those_that_changed_are_looked_at(store: Store, tmp_path: Path):
    def lease_many(connection: apsw.Connection) -> None:
        names = (f"'lease-{number}', 'token', 'worker', 1000, 5" for number in range(10_000))
        connection.execute(f"INSERT INTO job_leases VALUES ({'), ('.join(names)})")

    def steps(told: Collection[str] | None) -> int:
        """The number of thousands of database steps for a frame, which has the lease of one claim."""
        count = 0

        def another_thousand() -> bool:
            nonlocal count
            count += 1
            return False

        reader.set_progress_handler(another_thousand, 1_000)
        frame = lacking.next(reader, told)
        assert frame is not None
        assert [lease.job_id for lease in frame.leases] == ["j-0"]
        return count

    store.in_writer(lease_many)
    (claim,) = claims(store, 1, 10)
    lease = store.send_together(claim)[0]["result"]["jobs"][0]["lease"]
    with closing(open_reader(store.path)) as reader:
        known = {one.job_id: one for one in read_leases(reader) if one.job_id != "j-0"}
        lacking = Lacking(Origin(STORE_ID), 1, Head(), 0, known, trails=True)

        assert steps(()) < 10
        store.clock.now += 1
        assert store.send("jobs.heartbeat", {"id": "j-0", "lease": lease}).code is None
        assert list(store.commits[-1].leases) == ["j-0"]
        assert steps(["j-0"]) < 10
        store.clock.now += 1
        assert store.send("jobs.heartbeat", {"id": "j-0", "lease": lease}).code is None
        assert steps(None) >= 30
