"""The data directory: its lock, and the files by which clients find the service that runs there."""

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from bus.kept_files import give_to_owner, make_folder, write_private
from hyperpage_client.transport.access import Access
from ops.targets.documents import decode_document

RUNTIME_FILE = "runtime.json"
ADMIN_FILE = "admin.json"
_LOCK_FILE = "service.lock"


class DirectoryInUseError(RuntimeError):
    """Another service uses the directory; the message names its process, if that is known."""

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
    instance: str = ""
    """The id that tells this service from another one that serves the same prefix."""
    asked_by_id: bool = False
    """Whether the service answers administrative requests to that instance."""
    backups: str = ""
    archive: str = ""
    """Where it keeps these: commands that look elsewhere say so."""
    nats_access: Access = Access()
    """The credentials for that nats-server and the authorities to trust, beside what the address says."""
    nats_urls: tuple[str, ...] = ()
    """All of its addresses, of which `nats_url` is the first one."""

    @property
    def nats(self) -> str:
        """All addresses, as `connect` takes them."""
        return ",".join(self.nats_urls or (self.nats_url,))


class Admin(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `admin.json`: the address with the administrator's credentials, or several of them.

    `inbox_prefix` is for the answers to administrative requests, which no other user may read; answers to the
    administrator's commands and queries go to usual inboxes. `http_secret` is a bearer token that may read
    over HTTP as long as this service runs: the command line asks there when the broker is away.
    """

    nats_url: str
    inbox_prefix: str
    nats_access: Access = Access()
    nats_urls: tuple[str, ...] = ()
    http_secret: str = ""

    @property
    def nats(self) -> str:
        """All addresses, as `connect` takes them."""
        return ",".join(self.nats_urls or (self.nats_url,))


class DataDirectory:
    """One service's hold on a directory, from the construction to `release`.

    `was_left_behind` says that the last service here crashed.

    Raises:
        DirectoryInUseError: another service holds the directory. The system ends a hold when its process
            ends, in whatever way.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        make_folder(path)
        self._lock = os.open(path / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 20, 0).decode().strip()
            os.close(self._lock)
            raise DirectoryInUseError(
                f"{path} is in use by another service" + (f" (process {holder})" if holder else "")
            ) from None
        # If the file is still there, the last service crashed: otherwise it would have removed the file.
        self._has_announced = False
        self.was_left_behind = (path / RUNTIME_FILE).exists()
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    def announce(self, runtime: Runtime, admin: Admin) -> None:
        """Writes the files by which clients find the service."""
        self._has_announced = True
        # In this order, so that a program that finds the service also finds how to administer it.
        write_private(self.path / ADMIN_FILE, msgspec.json.format(msgspec.json.encode(admin)) + b"\n")
        write_private(self.path / RUNTIME_FILE, msgspec.json.format(msgspec.json.encode(runtime)) + b"\n")

    def release(self) -> None:
        """Removes those files, and lets other services have the directory."""
        # Files of a crashed service stay until a service runs again: they say that the store needs a check.
        if self._has_announced or not self.was_left_behind:
            for name in (RUNTIME_FILE, ADMIN_FILE):
                (self.path / name).unlink(missing_ok=True)
        os.close(self._lock)


def read_runtime(path: Path) -> Runtime | None:
    """The service that runs on a directory, as it announced itself; `None` if there is none."""
    try:
        return decode_document((path / RUNTIME_FILE).read_bytes(), Runtime)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def read_admin(path: Path) -> Admin | None:
    """How to administer the service that runs on a directory; `None` if there is none."""
    try:
        return decode_document((path / ADMIN_FILE).read_bytes(), Admin)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None


def kept_key(path: Path) -> bytes:
    """32 random bytes, made once and kept in a file that its owner alone can read."""
    if not path.exists():
        write_private(path, f"{secrets.token_hex(32)}\n".encode())
    return bytes.fromhex(path.read_text())


@contextmanager
def only_writer(lock: Path) -> Iterator[None]:
    """Holds a lock for the length of the block; all other processes that take the same `lock` wait.

    Raises:
        OSError: the lock's file cannot be made or opened.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    make_folder(lock.parent)
    with suppress(FileExistsError):
        made = os.open(lock, flags | os.O_CREAT | os.O_EXCL, 0o600)
        give_to_owner(lock.parent, made)
        os.close(made)
    descriptor = os.open(lock, flags)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_private(path: Path, *, at_most_bytes: int) -> bytes:
    """The content of a file that its owner alone may write to. It never waits, whatever is at the path.

    Raises:
        OSError: it cannot be read, is no regular file, is too large, or other users may write to it.
    """
    # Without O_NONBLOCK, opening a FIFO would wait.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise OSError(errno.EPERM, "others than its owner may write to it (`chmod go-w` ends that)")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(at_most_bytes + 1)
    finally:
        os.close(descriptor)
    if len(content) > at_most_bytes:
        raise OSError(errno.EFBIG, f"it has more than {at_most_bytes} bytes")
    return content
