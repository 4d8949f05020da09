"""The data directory: who has it, and the files by which others find the running service."""

import fcntl
import os
from pathlib import Path

import msgspec

RUNTIME_FILE = "runtime.json"
ADMIN_FILE = "admin.json"
_LOCK_FILE = "service.lock"


class DirectoryInUseError(RuntimeError):
    """Another service has the directory; the message names its process where it is known."""

    hint = "stop it first (Ctrl-C, or SIGTERM), or name another directory with --data"


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `runtime.json`: the running service."""

    pid: int
    nats_url: str
    http_url: str | None = None
    store_id: str
    timeline: int
    position: int
    version: str
    prefix: str = "hyperpage"
    backups: str = ""
    archive: str = ""
    """Where it keeps these: commands that look elsewhere say so."""


class Admin(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `admin.json`: the address with the administrator's credentials.

    `inbox_prefix` is for the answers to administrative requests, which nobody else may read; those to the
    administrator's commands and queries go to usual inboxes, as anybody's.
    """

    nats_url: str
    inbox_prefix: str


class DataDirectory:
    """One service's hold on a directory, from the construction to `release`.

    `was_left_behind` says that the last one who served here crashed.

    Raises:
        DirectoryInUseError: another service holds it. The system ends a hold with its process, however
            that ends.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(path / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 20, 0).decode().strip()
            os.close(self._lock)
            raise DirectoryInUseError(
                f"{path} is in use by another service" + (f" (process {holder})" if holder else "")
            ) from None
        # The last service did not end as it should: it would have removed the file.
        self._has_announced = False
        self.was_left_behind = (path / RUNTIME_FILE).exists()
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    def announce(self, runtime: Runtime, admin: Admin) -> None:
        """Writes the files by which others find the service."""
        self._has_announced = True
        write_private(self.path / RUNTIME_FILE, msgspec.json.format(msgspec.json.encode(runtime)))
        write_private(self.path / ADMIN_FILE, msgspec.json.format(msgspec.json.encode(admin)))

    def release(self) -> None:
        """Removes those files, and lets others have the directory."""
        # Those of a crashed service stay until one has served again: they say that the store needs a check.
        if self._has_announced or not self.was_left_behind:
            for name in (RUNTIME_FILE, ADMIN_FILE):
                (self.path / name).unlink(missing_ok=True)
        os.close(self._lock)


def read_runtime(path: Path) -> Runtime | None:
    """The service that runs on a directory, as it announced itself; `None` if none does."""
    try:
        return msgspec.json.decode((path / RUNTIME_FILE).read_bytes(), type=Runtime)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def read_admin(path: Path) -> Admin | None:
    """How to administer the service that runs on a directory; `None` if none does."""
    try:
        return msgspec.json.decode((path / ADMIN_FILE).read_bytes(), type=Admin)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def write_private(path: Path, content: bytes) -> None:
    """Puts a file in its place that its owner alone can read."""
    # Written beside it and renamed: whole or not at all, and never readable by others, not even for a moment.
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content + b"\n")
    temporary.replace(path)
