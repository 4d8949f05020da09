"""Checks that a file, which no process changes meanwhile, is a sound store, and the expected one."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

import apsw

from bus.log import chain
from bus.log.answers import verify_answers
from migrations.connection import distrust
from migrations.sqlite_words import words_of
from ops.backup.content import StoreContent, read_content, require_shape
from ops.progress import Progress, ignore_progress
from ops.store.troubles import require_damage
from ops.targets.errors import BackupError
from ops.targets.regular_files import open_regular

# Bytes hashed at a time. Other threads run meanwhile, and each next portion may have to wait for them.
HASHED_BYTES = 8 * 1024 * 1024


def check_copy(copy: Path, expected: StoreContent, progress: Progress) -> tuple[str, StoreContent]:
    """The checksum and the content of a sound copy; all damage that would prevent a restore is found.

    The whole hash chain is recomputed, and each index compared: SQLite's quick check finds neither changed
    bytes in an event, nor an index that lacks some of its rows.

    Raises:
        BackupError: the copy is damaged, or its content is not the expected one.
    """
    with (
        sound_beside(partial(open_sealed, copy), copy.name, thorough=True),
        closing(open_sealed(copy)) as connection,
    ):
        content = read_content(connection)
        if content != expected:
            raise BackupError("content_differs", f"the copy {copy.name} has not what the store had")
        progress("hash chain", 0, content.head.position)
        require_chain(connection, copy.name, content.head, chain.Head())
    return file_checksum(copy, progress), content


def open_sealed(path: Path) -> apsw.Connection:
    """A connection to a store that no process changes; it takes no locks, and makes no files beside it.

    A forged file may have anything in its schema, so the schema is checked before anything else is read.

    Raises:
        BackupError: the schema is not what its migrations make, or the file is no sound SQLite file.
    """
    try:
        connection = apsw.Connection(
            f"file:{quote(str(path.absolute()))}?immutable=1",
            flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
        )
    except apsw.Error as error:
        require_damage(error, path.name)
        raise BackupError("damaged", f"{path.name} cannot be opened: {words_of(error)}") from error
    try:
        distrust(connection)
        # A page with cells outside its bounds is reported when it is read.
        connection.pragma("cell_size_check", True)
        require_shape(connection, path.name)
        connection.pragma("cache_size", -16 * 1024)
        # Without a memory map, an unreadable sector is an error, and not a signal that ends the process.
        connection.pragma("mmap_size", 0)
    except BaseException:
        connection.close()
        raise
    return connection


def require_sound(connection: apsw.Connection, name: str, *, thorough: bool = False) -> None:
    """Returns if SQLite finds nothing wrong with a file. `thorough` compares the indexes, too.

    Raises:
        BackupError: SQLite finds damage.
    """
    check = "integrity_check" if thorough else "quick_check"
    try:
        found = [row[0] for row in connection.execute(f"PRAGMA {check}(5)")]
    except apsw.Error as error:
        require_damage(error, name)
        raise BackupError("damaged", f"{name} is no sound SQLite file: {words_of(error)}") from error
    if found != ["ok"]:
        raise BackupError("damaged", f"{name} is damaged: {'; '.join(map(str, found))}")


@contextmanager
def sound_beside(opened: Callable[[], apsw.Connection], name: str, *, thorough: bool) -> Iterator[None]:
    """Runs SQLite's check of an unchanging file in a thread of its own, while the block reads the file, too.

    The check has its own connection. Its error replaces any error of the block: in a damaged file, other
    errors are only consequences.

    Raises:
        BackupError: SQLite finds something wrong.
    """
    with closing(opened()) as connection, ThreadPoolExecutor(1) as thread:
        found = thread.submit(require_sound, connection, name, thorough=thorough)
        try:
            yield
        finally:
            found.result()


def require_chain(connection: apsw.Connection, name: str, head: chain.Head, start: chain.Head) -> None:
    """Returns if the hash chain of the log holds from `start` (`Head()`: from the first event) to `head`.

    Raises:
        BackupError: an event was changed.
    """
    try:
        found = chain.verify_chain(connection, start)
    except chain.BrokenChainError as error:
        raise BackupError(
            "chain_broken", f"{name}: {error}", "restore another backup, to a moment before"
        ) from error
    if found != head:
        raise BackupError("chain_broken", f"{name}: the log does not end as it should")


def verify_log(connection: apsw.Connection) -> None:
    """Returns if the hash chain of the log holds, and the answer to each remembered command can be read.

    Tables that are missing are skipped: the store is older, or its first migrations were interrupted.

    Raises:
        BrokenChainError, LostAnswerError, UnicodeDecodeError, apsw.Error: the log is damaged.
    """
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if "events" in tables:
        chain.verify_chain(connection)
    if "command_ids" in tables:
        verify_answers(connection)


def head_at(connection: apsw.Connection, position: int) -> chain.Head:
    """The head of the log as it was at a position; the head of an empty log if there is no such event."""
    row = chain.read_at(connection, position) if position else None
    return chain.Head() if row is None else row.head


def file_checksum(path: Path, progress: Progress = ignore_progress) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    total, done = path.stat().st_size, 0
    chunk = memoryview(bytearray(HASHED_BYTES))
    with open_regular(path) as file:
        while count := file.readinto(chunk):
            digest.update(chunk[:count])
            done += count
            progress("checksum", done, total)
    return digest.hexdigest()
