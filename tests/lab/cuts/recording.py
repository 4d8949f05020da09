"""The changes and syncs of a disk, in one order: `Change`, and the two recorders of these.

    Mounted        a folder on a recording file system (recording_fs.c): the changes by any process
    RecordedDisk   SQLite's files of this process alone, by a VFS; needs neither FUSE nor rights

The client that gets an answer notes it in the recording: at that place, all that the answer promises must be
on disk.
"""

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from tests.support.patience import wait_for

SOURCE = Path(__file__).with_name("recording_fs.c")
# Files in the root of a recording that are not part of it.
MARKS, SITES = "said", "sites"
# A mark: all earlier changes are on disk, as if the machine had run on for a while.
SETTLED = b"settled"
_HEADER = struct.Struct("<QQQQIIQ")
# The name that libfuse gives a file that was deleted while it was open.
_HIDDEN = ".fuse_hidden"
ROOT, _IN_ROOT = 1, 2
_KINDS = {
    "c": "create",
    "m": "folder",
    "l": "link",
    "u": "unlink",
    "r": "rename",
    "w": "write",
    "t": "truncate",
    "p": "mode",
    "s": "sync",
    "d": "datasync",
}
_NATS_FOLDERS = ("nats", "nats-config")


class Change(NamedTuple):
    """One record. Files and folders are numbered, the root is 1; a number is never used twice.

    `kind` is what happened: `create`, `folder`, `link`, `unlink`, `rename`; `write`, `truncate`, `mode`;
    `sync`, `datasync`; `mark`.
    """

    kind: str
    file: int
    """The file; of changes of names, the folder."""
    other: int = 0
    """The file that gets a name; of a rename, the folder that it goes to."""
    offset: int = 0
    """Where a write begins; the size, or the mode, that a file gets."""
    name: str = ""
    new_name: str = ""
    data: bytes = b""
    site: str = ""
    """Who synced."""


def why_not_mounted() -> str | None:
    """The missing part for a recording file system on this machine; `None` if nothing is missing."""
    if sys.platform != "linux" or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse that may be used"
    for tool in ("gcc", "pkg-config", "fusermount3"):
        if shutil.which(tool) is None:
            return f"there is no {tool} (Debian: gcc pkg-config fuse3 libfuse3-dev)"
    if subprocess.run(["pkg-config", "--exists", "fuse3"], check=False).returncode:
        return "there is no libfuse3 to compile with (Debian: libfuse3-dev)"
    return None


class Mounted:
    """A folder, `root`, of which everything is recorded; `with` mounts it. `folder` is empty at first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.root = folder / "mounted"
        self._records = folder / "records"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Mounted":
        program, behind = self._folder / "recording_fs", self._folder / "behind"
        options = subprocess.run(
            ["pkg-config", "--cflags", "--libs", "fuse3"], check=True, capture_output=True, text=True
        ).stdout.split()
        subprocess.run(["gcc", "-O2", "-o", program, SOURCE, *options], check=True)
        behind.mkdir()
        self.root.mkdir()
        before = self.root.stat().st_dev
        self._process = subprocess.Popen(
            [program, "-f", "-s", self.root],
            env={**os.environ, "RECORDED_FOLDER": str(behind), "RECORDING": str(self._records)},
            # A kill of this process with its whole group does not hit it, so it can still unmount.
            start_new_session=True,
        )
        wait_for(lambda: self._is_mounted(before))
        for name in (MARKS, SITES):
            (self.root / name).touch()
        self._marks = os.open(self.root / MARKS, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        os.close(self._marks)
        # It unmounts itself; a process that still has a file open there keeps only that file.
        self._process.terminate()
        self._process.wait()

    def mark(self, said: bytes) -> None:
        """Notes an answer that was given; it is in the recording when this returns."""
        os.write(self._marks, said + b"\n")

    def changes(self) -> list[Change]:
        """All that was recorded so far."""
        return list(_Reading().changes(self._records.read_bytes()))

    def _is_mounted(self, before: int) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the recording file system ended"
        return self.root.stat().st_dev != before


class _Reading:
    """Turns records into changes: inodes are reused, their numbers here never are; syncs get their sites."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._last = 0
        self._names: dict[tuple[int, str], int] = {}
        self._paths: dict[int, str] = {}
        # By thread: the site of the sync that it is about to make.
        self._sites: dict[int, str] = {}
        # The name that an open file has lost, by a deletion, or by a rename that follows at once.
        self._hidden: tuple[int, str] | None = None
        self._mark = b""

    def changes(self, records: bytes) -> Iterator[Change]:
        at = 0
        while at + _HEADER.size <= len(records):
            inode, other, offset, length, thread, letter, _ = _HEADER.unpack_from(records, at)
            data = records[at + _HEADER.size : at + _HEADER.size + length]
            at += _HEADER.size + length
            kind = _KINDS[chr(letter)]
            if not self._numbers:
                # The first record tells of the root.
                self._numbers[inode] = self._last = ROOT
                continue
            file = self._numbers[inode]
            if kind == "rename":
                yield from self._rename(file, other, *os.fsdecode(data).split("\0")[:2])
                continue
            yield from self._unlink_hidden()
            if kind in ("create", "folder", "link", "unlink"):
                yield from self._name(kind, file, other, offset, os.fsdecode(data))
            elif kind in ("sync", "datasync"):
                path = self._paths.get(file, "/")
                yield Change(kind, file, site=self._sites.pop(thread, "") or _unlabelled(path))
            elif self._paths.get(file) == f"/{SITES}":
                # One write may arrive in pieces.
                self._sites[thread] = self._sites.get(thread, "") + data.decode()
            elif self._paths.get(file) == f"/{MARKS}":
                *whole, self._mark = (self._mark + data).split(b"\n")
                yield from (Change("mark", file, data=one) for one in whole)
            else:
                yield Change(kind, file, offset=offset, data=data)
        yield from self._unlink_hidden()

    def _name(self, kind: str, folder: int, inode: int, mode: int, name: str) -> Iterator[Change]:
        if kind == "unlink":
            if self._names.pop((folder, name), None) is not None:
                yield Change(kind, folder, name=name)
            return
        if kind != "link":
            self._last += 1
            self._numbers[inode] = self._last
        number = self._numbers[inode]
        self._put(folder, name, number)
        yield Change(kind, folder, number, mode, name)

    def _rename(self, folder: int, into: int, name: str, new_name: str) -> Iterator[Change]:
        moved = self._names.pop((folder, name))
        if new_name.startswith(_HIDDEN):
            yield from self._unlink_hidden()
            self._hidden = folder, name
            return
        target = self._numbers[into]
        if self._hidden == (target, new_name):
            self._hidden = None
        yield from self._unlink_hidden()
        self._put(target, new_name, moved)
        yield Change("rename", folder, target, name=name, new_name=new_name)

    def _unlink_hidden(self) -> Iterator[Change]:
        if self._hidden is not None:
            (folder, name), self._hidden = self._hidden, None
            yield Change("unlink", folder, name=name)

    def _put(self, folder: int, name: str, number: int) -> None:
        self._names[folder, name] = number
        self._paths[number] = f"{self._paths.get(folder, '')}/{name}"


def _unlabelled(path: str) -> str:
    """The site of a sync outside of Python: SQLite, by the kind of file, or nats-server."""
    parts = path.strip("/").split("/")
    if any(one in _NATS_FOLDERS for one in parts[:-1]):
        return "nats-server"
    name = parts[-1]
    for ending in ("-wal", "-journal"):
        if name.endswith(ending):
            return f"SQLite: {_kind_of(name.removesuffix(ending))}{ending}"
    return f"SQLite: {_kind_of(name)}"


def _kind_of(name: str) -> str:
    return "the store" if name == "hyperpage.db" else "another file" if "." in name else "a folder"


class RecordedDisk(apsw.VFS):
    """Records SQLite's changes of the files of one folder, which is empty at first.

    It is the default of all connections that this process opens meanwhile. In the recording, the folder is
    right in the root, and on disk from the beginning.
    """

    NAME = "recorded"

    def __init__(self, folder: Path) -> None:
        self._base = apsw.vfs_names()[0]
        super().__init__(self.NAME, self._base)
        self._folder = str(folder)
        self._numbers: dict[str, int] = {}
        self._last = _IN_ROOT
        self.changes = [Change("folder", ROOT, _IN_ROOT, 0o700, folder.name), Change("mark", 0, data=SETTLED)]

    @classmethod
    @contextmanager
    def on(cls, folder: Path) -> Iterator["RecordedDisk"]:
        """The disk, for the length of the block."""
        disk = cls(folder)
        apsw.set_default_vfs(cls.NAME)
        try:
            yield disk
        finally:
            apsw.set_default_vfs(disk._base)
            disk.unregister()

    def mark(self, said: bytes) -> None:
        """Notes an answer that was given."""
        self.changes.append(Change("mark", 0, data=said))

    def xOpen(self, name: Any, flags: Any) -> apsw.VFSFile:  # noqa: N802  # SQLite's name
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None or os.path.dirname(path) != self._folder:  # noqa: PTH120 - a path is made for each file
            return super().xOpen(name, flags)
        file = _RecordedFile(self._base, name, flags, self)
        if path not in self._numbers:
            self._last += 1
            self._numbers[path] = self._last
            self.note("create", _IN_ROOT, self._last, 0o600, name=os.path.basename(path))  # noqa: PTH119 - likewise
        file.begin(self._numbers[path], path)
        return file

    def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802  # SQLite's name
        super().xDelete(name, sync)
        if self._numbers.pop(name, None) is not None:
            self.note("unlink", _IN_ROOT, name=os.path.basename(name))  # noqa: PTH119 - likewise
            if sync:
                self.note("sync", _IN_ROOT, site="SQLite: a folder")

    def note(self, kind: str, file: int, other: int = 0, offset: int = 0, **more: Any) -> None:
        self.changes.append(Change(kind, file, other, offset, **more))


class _RecordedFile(apsw.VFSFile):
    def __init__(self, base: str, name: Any, flags: Any, disk: RecordedDisk) -> None:
        super().__init__(base, name, flags)
        self._disk = disk
        # SQLite syncs the folder of a journal or WAL that it may have made, once it syncs that file first.
        # https://www.sqlite.org/src/file/src/os_unix.c: UNIXFILE_DIRSYNC
        is_beside = flags[0] & (apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL)
        self._syncs_name = bool(is_beside and flags[0] & apsw.SQLITE_OPEN_CREATE)

    def begin(self, number: int, path: str) -> None:
        self._number, self._path = number, path

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  # SQLite's name
        super().xWrite(data, offset)
        self._disk.note("write", self._number, offset=offset, data=bytes(data))

    def xTruncate(self, size: int) -> None:  # noqa: N802  # SQLite's name
        super().xTruncate(size)
        self._disk.note("truncate", self._number, offset=size)

    def xSync(self, flags: int) -> None:  # noqa: N802  # SQLite's name
        super().xSync(flags)
        self._disk.note("sync", self._number, site=_unlabelled(self._path))
        if self._syncs_name:
            self._syncs_name = False
            self._disk.note("sync", _IN_ROOT, site="SQLite: a folder")

    def xLock(self, level: int) -> None:  # noqa: N802  # SQLite's name
        try:
            super().xLock(level)
        except apsw.IOError:
            # A closing reader asks for a lock that its file does not allow. SQLite ignores it; APSW doesn't.
            raise apsw.BusyError("no lock for writing on a file that is read") from None
