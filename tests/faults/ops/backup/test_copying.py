"""A store is copied while another process writes and checkpoints all the time: a copy is one moment of it."""

import errno
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from migrations.connection import open_reader, open_writer
from ops.backup import copying
from ops.backup.content import read_content
from ops.backup.copying import copy_store
from ops.progress import ignore_progress
from tests.support.chance import SEED
from tests.support.machines.small_disk import small_disk
from tests.support.programs import transfers
from tests.support.programs.transfers import ALL, AMOUNT
from tests.support.repository import ROOT
from tests.support.stores.backing_up import Stored


@pytest.fixture
def path(tmp_path: Path) -> Path:
    stored = Stored(tmp_path / "data")
    stored.work(50)
    stored.close()
    transfers.prepare(stored.path)
    return stored.path


@contextmanager
def transferring(store: Path) -> Iterator[None]:
    print(f"seed {SEED}")
    program = [sys.executable, "-m", "tests.support.programs.transfers", str(store), str(SEED)]
    process = subprocess.Popen(program, cwd=ROOT)
    try:
        moved = _amounts(store)
        while _amounts(store) == moved:
            assert process.poll() is None
        yield
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def _amounts(path: Path) -> list[int]:
    with closing(open_reader(path)) as connection:
        return [amount for (amount,) in connection.execute(f"SELECT {AMOUNT} {ALL} ORDER BY key")]


def _copy_many(store: Path, copy: Path, count: int) -> set[str]:
    """Makes and checks copies, and returns the units in which their progress was counted."""
    ways = set()
    for number in range(count):
        copy.touch()
        told: list[tuple[str, int, int]] = []
        content = copy_store(store, copy, lambda *progress, told=told: told.append(progress))
        with closing(apsw.Connection(str(copy))) as connection:
            assert connection.pragma("integrity_check") == "ok", f"copy {number}"
            assert connection.pragma("journal_mode") == "delete"
            assert read_content(connection) == content
            assert connection.execute(f"SELECT sum({AMOUNT}), count(*) {ALL}").fetchone() == (
                0,
                transfers.ACCOUNTS,
            ), f"copy {number}"
        what, done, total = told[-1]
        assert (what, done) == ("copy", total)
        ways.add("bytes" if total == copy.stat().st_size else "pages")
        copy.unlink()
    return ways


@pytest.mark.parametrize("count", [15, pytest.param(1_000, marks=pytest.mark.prove)])
def test_the_bytes_of_a_store_in_use_are_copied_as_they_were_at_one_moment(
    path: Path, tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
):
    # Copying waits long enough to find a moment without a write on a slow machine, too.
    monkeypatch.setattr(copying, "HOLD_WITHIN_MS", 10_000)
    with transferring(path):
        assert "bytes" in _copy_many(path, tmp_path / "copy.db", count)


# Holds the lock of a running checkpoint, in the file `-shm`. https://www.sqlite.org/walformat.html#wal_locks
CHECKPOINT_LOCK = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    fcntl.lockf(file, fcntl.LOCK_EX, 1, 121)
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_checkpoint_of_another_is_waited_for(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(copying, "HOLD_WITHIN_MS", 10_000)
    pauses = 0

    def pause(_: float) -> None:
        nonlocal pauses
        pauses += 1
        # Longer than the pauses between copying's attempts, in which it lets the writer go on.
        if pauses > copying.ATTEMPTS:
            other.communicate()

    monkeypatch.setattr("ops.backup.copying.time.sleep", pause)
    with closing(open_writer(path)) as writer:
        writer.execute("UPDATE app_state SET updated_at = 2")
        program = [sys.executable, "-c", CHECKPOINT_LOCK, f"{path}-shm"]
        with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "locked\n"
            assert _copy_many(path, tmp_path / "copy.db", 1) == {"bytes"}


@pytest.mark.parametrize("count", [3, pytest.param(300, marks=pytest.mark.prove)])
def test_it_goes_page_by_page_where_somebody_reads_for_long(path: Path, tmp_path: Path, count: int):
    with transferring(path), closing(open_reader(path)) as reader:
        reader.execute("BEGIN")
        reader.execute(f"SELECT count(*) {ALL}").fetchall()
        before = _amounts(path)
        while _amounts(path) == before:
            # Waits for a write that cannot leave the WAL, since the reader is open.
            continue
        assert _copy_many(path, tmp_path / "copy.db", count) == {"pages"}


def test_it_goes_page_by_page_while_somebody_has_begun_to_write(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(copying, "HOLD_WITHIN_MS", 1)
    with closing(open_writer(path)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE app_state SET updated_at = 1")
        assert _copy_many(path, tmp_path / "copy.db", 1) == {"pages"}
        writer.execute("ROLLBACK")


def test_a_copy_without_room_is_told_so_whichever_way_it_goes(path: Path, tmp_path: Path):
    with small_disk(tmp_path / "disk", 128 * 1024) as disk, closing(open_reader(path)) as reader:
        copy = disk.folder / "copy.db"
        for is_page_by_page in (False, True):
            if is_page_by_page:
                reader.execute("BEGIN")
                reader.execute(f"SELECT count(*) {ALL}").fetchall()
                with closing(open_writer(path)) as writer:
                    writer.execute("UPDATE app_state SET updated_at = 3")
            copy.touch()
            with pytest.raises(OSError, match="No space left on device") as told:
                copy_store(path, copy, ignore_progress)
            assert told.value.errno == errno.ENOSPC
            copy.unlink()


def test_a_store_that_was_never_opened_since_it_was_restored_is_copied(path: Path, tmp_path: Path):
    with closing(apsw.Connection(str(path))) as connection:
        connection.pragma("journal_mode", "delete")
    assert _copy_many(path, tmp_path / "copy.db", 1) == {"pages"}


# The bytes of a file that a reader locks in SQLite. https://www.sqlite.org/src/file/src/os.h
SHARED_FIRST, SHARED_SIZE = 0x40000002, 510


def test_copying_leaves_the_locks_of_its_own_process_as_they_were(path: Path, tmp_path: Path):
    """Otherwise another process may take itself for the only one, and take the file out of WAL mode, say."""
    program = (
        "import fcntl, sys; file = open(sys.argv[1], 'r+b');"
        f"fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, {SHARED_SIZE}, {SHARED_FIRST})"
    )

    def is_locked() -> bool:
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or "BlockingIOError" in done.stderr, done.stderr
        return done.returncode != 0

    assert not is_locked()
    with closing(open_writer(path)) as writer:
        writer.execute("UPDATE app_state SET updated_at = 2")
        assert _copy_many(path, tmp_path / "copy.db", 1) == {"bytes"}
        assert is_locked()
