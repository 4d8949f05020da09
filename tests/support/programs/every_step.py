"""Work in a process of its own that is killed, or finds its disk full, at a given step of its file work.

A step is any operation that changes a file or a folder, or syncs it: SQLite's writes, syncs, truncations and
deletions, and Python's opening for writing, syncing, renaming, removing and making.
"""

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable
from enum import Enum
from typing import Any

import apsw

VFS_NAME = "every-step"
# The exit codes: all was done; the full disk was reported as an error of the system; anything else.
DONE, TOLD, FAILED = 0, 3, 4

_CHANGES = frozenset(
    ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "shutil.rmtree")
)
# Operations that a full disk still allows.
_FREES = frozenset(("os.remove", "os.rmdir", "shutil.rmtree"))
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Fault(Enum):
    """The fault at the step: the process is killed, or there is no more room, from then on."""

    KILL = "kill -9"
    FULL = "a full disk"


class Steps:
    """Counts the steps of this process, and has the fault happen at one of them."""

    def __init__(self, fault: Fault, at: int) -> None:
        self._fault = fault
        self._at = at
        self.taken = 0

    def take(self, *, frees: bool = False, error: Callable[[], Exception]) -> None:
        """One step."""
        number, self.taken = self.taken, self.taken + 1
        if number < self._at:
            return
        if self._fault is Fault.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if not frees:
            raise error()

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
            self.take(error=full)
        elif event in _CHANGES:
            self.take(frees=event in _FREES, error=full)


def full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _Disk(apsw.VFS):
    def __init__(self, base: str, steps: Steps) -> None:
        super().__init__(VFS_NAME, base)
        self._base = base
        self._steps = steps

    def xOpen(self, name: Any, flags: Any) -> apsw.VFSFile:  # noqa: N802  # SQLite's name
        return _File(self._base, name, flags, self._steps)

    def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802  # SQLite's name
        self._steps.take(frees=True, error=apsw.FullError)
        super().xDelete(name, sync)


class _File(apsw.VFSFile):
    def __init__(self, base: str, name: Any, flags: Any, steps: Steps) -> None:
        super().__init__(base, name, flags)
        self._steps = steps

    def xLock(self, level: int) -> None:  # noqa: N802  # SQLite's name
        try:
            super().xLock(level)
        except apsw.IOError:
            # A closing reader asks for a lock that its file does not allow. SQLite ignores it; APSW doesn't.
            raise apsw.BusyError("no lock for writing on a file that is read") from None

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  # SQLite's name
        self._steps.take(error=apsw.FullError)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802  # SQLite's name
        self._steps.take(error=apsw.FullError)
        super().xSync(flags)

    def xTruncate(self, size: int) -> None:  # noqa: N802  # SQLite's name
        self._steps.take(frees=True, error=apsw.FullError)
        super().xTruncate(size)


def count_steps(work: Callable[[], object]) -> int:
    """Does the work, and returns the number of its steps."""
    reading, writing = os.pipe()
    assert _run(work, Fault.FULL, sys.maxsize, writing) == DONE
    with os.fdopen(reading) as told:
        return int(told.read())


def fail_at(step: int, fault: Fault, work: Callable[[], object]) -> int | None:
    """The exit code of a process that does the work: `DONE`, `TOLD`, `FAILED`, or `None` if it was killed.

    The work is done in a fork, so this process may have nothing open that the work uses.
    """
    return _run(work, fault, step, None)


def _run(work: Callable[[], object], fault: Fault, at: int, tell: int | None) -> int | None:
    process_id = os.fork()
    if process_id == 0:
        os._exit(_work(work, fault, at, tell))
    if tell is not None:
        os.close(tell)
    _, status = os.waitpid(process_id, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None
    return os.WEXITSTATUS(status)


def _work(work: Callable[[], object], fault: Fault, at: int, tell: int | None) -> int:
    """The exit code of the forked process; no error may get back into pytest."""
    try:
        steps = Steps(fault, at)
        disk = _Disk(apsw.vfs_names()[0], steps)
        apsw.set_default_vfs(VFS_NAME)
        synced = os.fsync

        def sync(descriptor: Any) -> None:
            steps.take(error=full)
            synced(descriptor)

        os.fsync = sync  # type: ignore[assignment]
        sys.addaudithook(steps.hook)
        work()
        if tell is not None:
            os.write(tell, b"%d" % steps.taken)
        del disk
    except OSError as error:
        return TOLD if error.errno == errno.ENOSPC else _failed()
    except apsw.FullError:
        return TOLD
    except BaseException:
        return _failed()
    return DONE


def _failed() -> int:
    traceback.print_exc()
    return FAILED
