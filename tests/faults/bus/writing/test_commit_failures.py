"""A group whose commit fails was never there; one that was answered is there for good."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from bus.log import answers as kept_answers
from bus.log import chain
from bus.writing.content import read_leases
from bus.writing.group_size import GROUP_COMMANDS
from bus.writing.transactions import Transactions
from tests.support.clock import Clock
from tests.support.machines.failing_disk import FailingDisk, failing_disk
from tests.support.patience import wait_for
from tests.support.stores.looking_inside import states
from tests.support.stores.writing import Reply, Sent, Store, batch, dump_tables, single

# More than any group here has.
MANY = 1_000
FOR_EVER = 10**9

# An exception that ends a thread would otherwise be only a warning. Other warnings are no errors: they may be
# about a file that an earlier test left open, and that is collected here.
pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture
def disk() -> Iterator[FailingDisk]:
    with failing_disk() as failing:
        yield failing


@pytest.fixture
def fragile(disk: FailingDisk, tmp_path: Path) -> Iterator[Store]:
    """A store on a disk that fails when it is told to."""
    with Store(tmp_path / "hyperpage.db") as opened:
        yield opened
        disk.heal()


def prepare(store: Store) -> list[Sent]:
    """A store with something in it, and a group of commands of every kind for it."""
    store.send_together(
        *(Sent("jobs.enqueue", {"id": f"job-{place}", "type": "t", "name": "n"}) for place in range(6)),
        Sent("app_state.set", {"key": "k", "value": 0}),
        Sent("tool_configs.set", {"tool_name": "t", "config": {"a": 1}}),
    )
    first, second, third = store.send("jobs.claim", {"worker": "w", "limit": 3})["result"]["jobs"]
    return [
        Sent("app_state.set", {"key": "k", "value": "x" * 20_000}, id="x"),
        Sent("app_state.set", {"key": "new", "value": 1}, id="y", expected_version=0),
        Sent("app_state.delete", {"key": "none"}),
        Sent("app_state.delete", {"key": "new"}, id="z"),
        Sent("tool_configs.delete", {"tool_name": "t"}),
        Sent("jobs.claim", {"worker": "w", "limit": 2}, id="claim"),
        Sent("jobs.enqueue", {"id": "late", "type": "t", "name": "n"}),
        Sent("jobs.complete", {"id": first["id"], "lease": first["lease"]}),
        Sent("jobs.heartbeat", {"id": second["id"], "lease": second["lease"], "lease_ms": 60_000}),
        Sent("jobs.fail", {"id": third["id"], "lease": third["lease"], "error": "x"}),
        Sent("rate_limits.throttle", {"platform": "p", "until": 1}),
    ]


def everything(store: Store) -> dict[str, Any]:
    """The tables of the file, and the state that the writer keeps in memory."""
    names = ("jobs", "job_history", "rate_limits", "tool_configs", "app_state", "events", "command_answers",
             "job_leases", "snapshots")  # fmt: skip
    aggregates = store.writer._aggregates
    return {
        "file": store.in_writer(lambda connection: dump_tables(connection, names)),
        "head": store.writer.head,
        "leases": dict(aggregates.leases),
        "due": aggregates.jobs.due.next("default", None, MANY, store.clock.now),
        "waiting": len(aggregates.jobs.due),
        "states": {name: kept for name, kept in states(aggregates._hot).items() if kept.version},
    }


def recovered(store: Store, folder: Path) -> dict[str, list[tuple[str, ...]]]:
    """The tables and the log as a start would find them if the machine stopped at this moment."""
    folder.mkdir(parents=True)
    for suffix in ("", "-wal"):
        shutil.copy(f"{store.path}{suffix}", folder / f"{store.path.name}{suffix}")
    connection = apsw.Connection(str(folder / store.path.name))
    try:
        return dump_tables(connection, ["jobs", "app_state", "events"])
    finally:
        connection.close()


def all_unavailable(replies: list[Reply]) -> bool:
    return all(
        reply.code == "unavailable" and reply["error"]["details"] == {"retry_after_ms": 1_000}
        for reply in replies
    )


def test_what_is_to_be_decided_in_order_is_not_decided_behind_a_group_that_failed(
    disk: FailingDisk, fragile: Store
):
    # Two groups and a half.
    in_order = [single(Sent("app_state.set", {"key": "k", "value": number})) for number in range(2_500)]
    for one in in_order:
        one.in_order = True
    # Other commands get every second place of the first group. There are more; only the last has an effect.
    others = [single(Sent("app_state.delete", {"key": "absent"})) for _ in range(GROUP_COMMANDS)]
    others.append(single(Sent("app_state.set", {"key": "other", "value": 1})))
    with fragile.held():
        answers = fragile.post([*in_order, *others])
        disk.fail("sync")
    replies = [answer() for answer in answers]
    replies, other = replies[: len(in_order)], replies[-1]

    assert all_unavailable(replies)
    assert other.code is None
    assert fragile.writer.waiting == 0
    assert [row.stream for row in fragile.rows()] == ["app_state/other"]
    assert fragile.send("app_state.set", {"key": "k", "value": 1}).code is None


def test_ids_that_a_failed_commit_indexed_are_known_after_a_restart(
    disk: FailingDisk, fragile: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(kept_answers, "WAITING_IDS", 4)
    monkeypatch.setattr(kept_answers, "STRIDE", 2)
    accepted = []
    for number in range(60):
        one = Sent("app_state.set", {"key": f"k{number}", "value": 1}, id=f"c{number}")
        if number % 3 == 0:
            disk.fail("sync")
            assert fragile.send_together(one)[0].code == "unavailable"
            fragile.send("app_state.set", {"key": "without-id", "value": number})
        else:
            accepted.append((one, fragile.send_together(one)[0].body))
    made = fragile.in_writer(lambda connection: connection.execute("SELECT up_to FROM command_ids_made").get)
    assert made > 20
    fragile.close()

    with Store(fragile.path) as again:
        head = again.writer.head
        assert [again.send_together(one)[0].body for one, _ in accepted] == [body for _, body in accepted]
        assert again.writer.head == head


@pytest.mark.parametrize("changes_something", [True, False])
def test_what_is_on_disk_is_answered_although_its_commit_reports_a_failure(
    fragile: Store, monkeypatch: pytest.MonkeyPatch, changes_something: bool
):
    fragile.send("tool_configs.set", {"tool_name": "t", "config": {"a": 1}})
    one = Sent("tool_configs.set", {"tool_name": "t", "config": {"a": 1 + changes_something}}, id="one")
    commit = Transactions.commit

    async def stored_and_failed(transactions: Transactions) -> None:
        await commit(transactions)
        raise apsw.IOError("on purpose")

    with monkeypatch.context() as patched:
        patched.setattr(Transactions, "commit", stored_and_failed)
        [reply] = fragile.send_together(one)
    assert reply.code is None

    again = one._replace(id="two")
    assert [sent.code for sent in fragile.send_together(again)] == [None]
    assert fragile.send_together(one)[0].body == reply.body


def test_what_is_in_order_shares_nothing_with_a_failed_group_of_others(disk: FailingDisk, fragile: Store):
    commands = [Sent("app_state.set", {"key": "k", "value": number}) for number in range(2_500)]
    # The batch fills the first group.
    others = [batch(*commands[:GROUP_COMMANDS]), *map(single, commands[GROUP_COMMANDS:])]
    in_order = single(Sent("app_state.set", {"key": "in-order", "value": 1}))
    in_order.in_order = True
    with fragile.held():
        answers = fragile.post([*others, in_order])
        disk.fail("sync")
    replies = [answer() for answer in answers]

    assert all_unavailable(replies[:1])
    assert {reply.code for reply in replies[1:]} == {None}


@pytest.mark.parametrize("checkpoint_pages", [1, 4_000])
@pytest.mark.parametrize("times", [1, FOR_EVER])
@pytest.mark.parametrize("error", [apsw.IOError, apsw.FullError])
def test_wherever_a_commit_fails_all_of_its_group_is_unavailable_and_nothing_remains(
    disk: FailingDisk, fragile: Store, error: type[Exception], times: int, checkpoint_pages: int
):
    commands = prepare(fragile)
    fragile.connection.wal_autocheckpoint(checkpoint_pages)
    before = everything(fragile)
    failures = 0
    replies: list[Reply] = []
    for first in range(MANY):
        disk.fail("write", "sync", "truncate", first=first, times=times, error=error)
        replies = fragile.send_together(*commands)
        has_failed = disk.failed > 0
        disk.heal()
        if not all_unavailable(replies):
            # The group is on disk; at most the WAL checkpoint behind it has failed.
            break
        assert has_failed
        failures += 1
        assert everything(fragile) == before
    assert failures > 10
    assert fragile.writer.statistics.failed_commits >= failures

    assert [reply.code for reply in replies] == [None, None, "not_found"] + [None] * 8
    assert [row.position for row in fragile.rows()] == list(range(1, 22))
    assert fragile.in_writer(chain.verify_chain) == fragile.writer.head
    assert fragile.send("app_state.set", {"key": "next", "value": 1})["position"] == 22
    assert fragile.send_together(commands[0])[0].body == replies[0].body


@pytest.mark.parametrize("checkpoint_pages", [1, 4_000])
def test_a_renewed_lease_is_on_disk_if_it_was_answered_and_only_then(
    disk: FailingDisk, fragile: Store, checkpoint_pages: int
):
    fragile.send("jobs.enqueue", {"id": "a", "type": "t", "name": "n"})
    [job] = fragile.send("jobs.claim", {"worker": "w"})["result"]["jobs"]
    fragile.connection.wal_autocheckpoint(checkpoint_pages)
    has_failed = True
    for first in range(MANY):
        if not has_failed:
            break
        before = fragile.in_writer(read_leases)
        disk.fail("write", "sync", "truncate", first=first, times=FOR_EVER)
        renewed = Sent("jobs.heartbeat", {"id": "a", "lease": job["lease"], "lease_ms": 60_000 + first})
        [reply] = fragile.send_together(renewed)
        has_failed = disk.failed > 0
        disk.heal()
        assert (fragile.in_writer(read_leases) == before) is all_unavailable([reply])
    assert first > 1


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_what_was_unavailable_does_not_come_back_when_the_machine_stops(
    disk: FailingDisk, fragile: Store, tmp_path: Path, operation: str
):
    commands = prepare(fragile)
    before = recovered(fragile, tmp_path / "before")
    for first in range(MANY):
        disk.fail(operation, first=first)
        replies = fragile.send_together(*commands)
        disk.heal()
        if not all_unavailable(replies):
            break
        assert recovered(fragile, tmp_path / f"{first}") == before
    assert first > 0
    assert recovered(fragile, tmp_path / "after") != before


def test_what_was_answered_is_there_when_the_machine_stops(disk: FailingDisk, fragile: Store, tmp_path: Path):
    for place in range(20):
        disk.fail("write", "sync", first=place, times=3)
        fragile.send("app_state.set", {"key": "lost", "value": place})
        disk.heal()
        fragile.send("app_state.set", {"key": "kept", "value": place})
        tables = recovered(fragile, tmp_path / f"{place}")
        assert tables["app_state"] == fragile.tables()["app_state"]
        assert f"'{place}'" in [row[1] for row in tables["app_state"]]
        assert (
            tables["events"]
            == fragile.in_writer(lambda connection: dump_tables(connection, ["events"]))["events"]
        )


def test_a_full_disk_refuses_what_does_not_fit_and_takes_what_does_once_there_is_room(fragile: Store):
    commands = prepare(fragile)
    pages = fragile.in_writer(lambda connection: connection.pragma("page_count"))
    fragile.connection.pragma("max_page_count", pages + 3)
    before = everything(fragile)

    assert all_unavailable(fragile.send_together(*commands))
    assert everything(fragile) == before
    assert "full" in (fragile.writer.statistics.last_failure or "")
    # A small command still fits, and is stored although the file cannot grow.
    assert fragile.send("app_state.set", {"key": "small", "value": 1}).code is None

    fragile.connection.pragma("max_page_count", 10**6)
    assert [reply.code for reply in fragile.send_together(*commands)] == [None, None, "not_found"] + [
        None
    ] * 8
    assert fragile.writer.statistics.last_failure is None
    assert fragile.in_writer(chain.verify_chain) == fragile.writer.head


def test_after_reopening_everything_that_was_answered_is_there(disk: FailingDisk, tmp_path: Path):
    path, clock = tmp_path / "hyperpage.db", Clock()
    answered: list[tuple[Sent, bytes]] = []
    with Store(path, clock) as store:
        for place in range(60):
            disk.fail("write", "sync", first=place % 12, times=1 + place % 3)
            sent = Sent("app_state.set", {"key": f"k{place}", "value": place}, id=f"c{place}")
            [reply] = store.send_together(sent)
            disk.heal()
            if reply.code is None:
                answered.append((sent, reply.body))
        tables, head = store.tables(), store.writer.head
    assert 0 < len(answered) < 60
    with Store(path, clock) as store:
        assert (store.tables(), store.writer.head) == (tables, head)
        assert store.in_writer(chain.verify_chain) == head
        assert [row.stream for row in store.rows()] == [
            f"app_state/{sent.body['key']}" for sent, _ in answered
        ]
        for sent, body in answered:
            assert store.send_together(sent)[0].body == body
        assert store.writer.head == head


def test_a_job_that_lost_its_lease_is_rescued_although_the_first_attempt_was_not_stored(
    disk: FailingDisk, tmp_path: Path
):
    path = tmp_path / "hyperpage.db"
    with Store(path) as store:
        prepare(store)
        store.in_writer(lambda connection: connection.execute("DELETE FROM job_leases"))
    disk.fail("write", times=FOR_EVER)
    with Store(path) as store:
        wait_for(lambda: store.writer.statistics.failed_commits >= 2)
        disk.heal()
        wait_for(lambda: [row.type for row in store.rows()].count("job.rescued.v1") == 3)


def test_a_file_that_is_locked_for_too_long_is_unavailable_and_free_again_later(fragile: Store):
    fragile.connection.set_busy_timeout(10)
    other = apsw.Connection(str(fragile.path))
    other.execute("BEGIN IMMEDIATE")
    assert fragile.send("app_state.set", {"key": "k", "value": 1}).code == "unavailable"
    other.execute("ROLLBACK")
    other.close()

    assert fragile.send("app_state.set", {"key": "k", "value": 1})["position"] == 1
