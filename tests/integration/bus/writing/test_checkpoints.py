"""WAL checkpoints beside the writer: the WAL begins anew, also without the other connection or thread."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import apsw
import pytest

from bus.log import chain
from bus.writing import checkpoints
from migrations.connection import open_reader
from tests.support.stores.writing import Store

# A command writes 3 to 7 pages.
COMMANDS = 100
# Some hundred commands are enough if the other thread gets the processor.
MANY = 20_000
NUMBERS = count()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(checkpoints, "CHECKPOINT_PAGES", 50)
    # However long the other thread takes, the writer brings in what is left; what fails is tried again soon.
    monkeypatch.setattr(checkpoints, "REST_PAGES", 2_000)
    monkeypatch.setattr(checkpoints, "MOST_PAGES", MANY)
    with Store(tmp_path / "store.db", synced=False) as store:
        yield store


def generation(store: Store) -> bytes:
    """The salts in the WAL's header, which change whenever the WAL begins anew."""
    with Path(f"{store.path}-wal").open("rb") as wal:
        return wal.read(24)[16:]


def send(store: Store, commands: int) -> None:
    for _ in range(commands):
        assert store.send("app_state.set", {"key": "k", "value": next(NUMBERS)}).code is None


def send_until(store: Store, holds: Callable[[], bool]) -> None:
    for _ in range(MANY):
        send(store, 1)
        if holds():
            return
    raise AssertionError("it did not happen")


def send_until_the_wal_begins_anew(store: Store) -> None:
    send(store, 1)
    before = generation(store)
    send_until(store, lambda: generation(store) != before)


def test_the_wal_begins_anew_while_commands_come(store: Store):
    for _ in range(3):
        send_until_the_wal_begins_anew(store)
    assert store.in_writer(chain.verify_chain) == store.writer.head


def test_a_reader_holds_it_back_for_as_long_as_it_reads(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkpoints, "REST_PAGES", 100)
    # However much is left, the writer brings it in.
    monkeypatch.setattr(checkpoints, "MOST_PAGES", 300)
    with closing(open_reader(store.path)) as reader:
        reader.execute("BEGIN")
        head = chain.read_head(reader)
        before = generation(store)
        send(store, COMMANDS)
        assert generation(store) == before
        assert chain.read_head(reader) == head
    send_until_the_wal_begins_anew(store)


@pytest.mark.parametrize(
    ("error", "is_damage"),
    [(apsw.CantOpenError("no descriptor is left"), False), (apsw.CorruptError("a page"), True)],
)
def test_without_the_other_connection_commits_make_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: apsw.Error, is_damage: bool
):
    def fails(*_: str) -> apsw.Connection:
        raise error

    monkeypatch.setattr(checkpoints, "open_checkpointer", fails)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_PAGES", 20)
    monkeypatch.setattr(checkpoints, "REST_PAGES", 20)
    monkeypatch.setattr(checkpoints, "MOST_PAGES", 60)
    with Store(tmp_path / "store.db", synced=False) as store:
        send_until_the_wal_begins_anew(store)
        send_until(store, lambda: (store.writer._damage.problem is not None) == is_damage)


def test_without_a_thread_commits_make_checkpoints(store: Store, monkeypatch: pytest.MonkeyPatch):
    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(store.writer._checkpoints._thread, "submit", no_thread)
    store.in_writer(lambda connection: connection.wal_autocheckpoint(60))
    send_until_the_wal_begins_anew(store)
