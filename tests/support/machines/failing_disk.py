"""A disk that fails when it is told to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw

VFS_NAME = "failing"


class FailingDisk(apsw.VFS):
    """An SQLite VFS on the real one, whose reads, writes and fsyncs fail from a given one on.

    `happened` counts them since the last `fail` or `heal`.
    """

    def __init__(self, base: str) -> None:
        super().__init__(VFS_NAME, base)
        self.base = base
        self.happened = 0
        self.failed = 0
        self._operations: frozenset[str] = frozenset()
        self._first = 0
        self._last = 0
        self._error: type[Exception] = apsw.IOError

    def fail(
        self, *operations: str, first: int = 0, times: int = 1, error: type[Exception] = apsw.IOError
    ) -> None:
        """From the operation number `first` on, that many `read`, `write`, `sync` or `truncate` fail."""
        self.heal()
        self._operations, self._first, self._last, self._error = (
            frozenset(operations),
            first,
            first + times,
            error,
        )

    def heal(self) -> None:
        """Ends the failures."""
        self.happened = self.failed = 0
        self._operations = frozenset()

    def xOpen(self, name: Any, flags: Any) -> apsw.VFSFile:  # noqa: N802  # SQLite's name
        return _File(self, name, flags)

    def meet(self, operation: str) -> None:
        if operation not in self._operations:
            return
        number = self.happened
        self.happened += 1
        if self._first <= number < self._last:
            self.failed += 1
            raise self._error(f"the disk failed on purpose: {operation}")


class _File(apsw.VFSFile):
    def __init__(self, disk: FailingDisk, name: Any, flags: Any) -> None:
        super().__init__(disk.base, name, flags)
        self._disk = disk

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802  # SQLite's name
        self._disk.meet("read")
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  # SQLite's name
        self._disk.meet("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802  # SQLite's name
        self._disk.meet("sync")
        super().xSync(flags)

    def xTruncate(self, size: int) -> None:  # noqa: N802  # SQLite's name
        self._disk.meet("truncate")
        super().xTruncate(size)


@contextmanager
def failing_disk() -> Iterator[FailingDisk]:
    """A failing disk under every database that is opened meanwhile."""
    usual = apsw.vfs_names()[0]
    disk = FailingDisk(usual)
    apsw.set_default_vfs(VFS_NAME)
    try:
        yield disk
    finally:
        apsw.set_default_vfs(usual)
        disk.unregister()
