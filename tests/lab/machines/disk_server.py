"""A file system of one file, which records each write and flush of it: the file is used as a loop device.

    ext4, XFS ── loop device ── this file ── image
                                      └───── journal: each write and flush, in order, with its moment

It speaks FUSE with the kernel itself, whose protocol is small where there is one file:
https://docs.kernel.org/filesystems/fuse.html and `include/uapi/linux/fuse.h`. Run as a process of its own,
since a process that waits for a file system of its own threads may wait for ever:

    python -m tests.lab.machines.disk_server FOLDER IMAGE JOURNAL

It says `ready` on stdout, and reads from stdin how the disk behaves from then on: `heal`, `hang` (nothing is
flushed until it is healed), `slow SECONDS` (each flush), `fail` (each write and flush), `fail-reads`.
"""

import ctypes
import errno
import os
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

FILE_NAME = "disk"
WRITE, FLUSH = 1, 2
# The moment (monotonic, in ns), the offset, the size of the content that follows, and the kind of record.
RECORD = struct.Struct("<QQII")

_IN_HEADER = struct.Struct("<IIQQIIIHH")
_OUT_HEADER = struct.Struct("<IiQ")
_TRANSFER = struct.Struct("<QQIIQII")
_ATTRIBUTES = struct.Struct("<6Q10I")
_LARGEST_WRITE = 1 << 20
_ROOT, _FILE = 1, 2
# Writes that are larger than a page, and than 32 pages.
_WANTED_FLAGS = (1 << 5) | (1 << 22)
_LOOKUP, _FORGET, _GETATTR, _SETATTR, _OPEN, _READ, _WRITE, _STATFS, _RELEASE, _FSYNC = (
    1,
    2,
    3,
    4,
    14,
    15,
    16,
    17,
    18,
    20,
)
_FLUSH, _INIT, _OPENDIR, _RELEASEDIR, _INTERRUPT, _BATCH_FORGET = 25, 26, 27, 29, 36, 42


class Failure(Exception):
    """A failure, with its error number for the kernel."""

    def __init__(self, number: int) -> None:
        super().__init__(os.strerror(number))
        self.number = number


class Behaviour:
    """The behaviour of the disk, as it was set last."""

    def __init__(self) -> None:
        self._healed = threading.Event()
        self.heal()

    def heal(self) -> None:
        self.fails_writes = self.fails_reads = False
        self.flush_seconds = 0.0
        self._healed.set()

    def take(self, line: str) -> None:
        word, _, rest = line.strip().partition(" ")
        match word:
            case "heal":
                self.heal()
            case "hang":
                self._healed.clear()
            case "slow":
                self.flush_seconds = float(rest)
            case "fail":
                self.fails_writes = True
            case "fail-reads":
                self.fails_reads = True
            case _:
                raise ValueError(f"not known: {line!r}")

    def flush(self) -> None:
        self._healed.wait()
        if self.flush_seconds:
            time.sleep(self.flush_seconds)


class DiskServer:
    """Answers the kernel's requests, one after the other, until the file system is unmounted."""

    def __init__(self, image: Path, journal: Path, behaviour: Behaviour) -> None:
        self._image = os.open(image, os.O_RDWR)
        self._size = os.fstat(self._image).st_size
        self._journal = journal.open("ab")
        self._behaviour = behaviour
        self._answers: dict[int, Callable[[int, bytes], bytes]] = {
            _INIT: self._init,
            _LOOKUP: self._look_up,
            _GETATTR: lambda node, _: struct.pack("<QII", 3600, 0, 0) + self._attributes(node),
            _SETATTR: lambda node, _: struct.pack("<QII", 3600, 0, 0) + self._attributes(node),
            _OPEN: lambda *_: struct.pack("<QIi", 0, 0, 0),
            _OPENDIR: lambda *_: struct.pack("<QIi", 0, 0, 0),
            _READ: self._read,
            _WRITE: self._write,
            _FSYNC: self._fsync,
            _STATFS: lambda *_: struct.pack("<5Q10I", *(0,) * 5, 4096, 255, 4096, *(0,) * 7),
            _RELEASE: lambda *_: b"",
            _RELEASEDIR: lambda *_: b"",
            _FLUSH: lambda *_: b"",
        }

    def serve(self, device: int) -> None:
        buffer = bytearray(_LARGEST_WRITE + 65_536)
        while True:
            try:
                length = os.readv(device, [buffer])
            except OSError as error:
                if error.errno == errno.ENODEV:
                    # Unmounted.
                    return
                if error.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                    continue
                raise
            _, operation, unique, node, *_ = _IN_HEADER.unpack_from(buffer)
            if operation in (_FORGET, _BATCH_FORGET, _INTERRUPT):
                continue
            number, answer = 0, b""
            try:
                answer = self._answers.get(operation, _is_not_known)(
                    node, bytes(buffer[_IN_HEADER.size : length])
                )
            except Failure as failure:
                number = -failure.number
            header = _OUT_HEADER.pack(_OUT_HEADER.size + len(answer), number, unique)
            os.writev(device, [header, answer])

    def _init(self, _: int, body: bytes) -> bytes:
        major, minor, read_ahead, flags = struct.unpack_from("<4I", body)
        return struct.pack(
            "<IIIIHHIIHHIIH11H",
            *(major, min(minor, 36), read_ahead, flags & _WANTED_FLAGS),
            *(16, 12, _LARGEST_WRITE, 1, _LARGEST_WRITE // 4096),
            *(0,) * 15,
        )

    def _look_up(self, _: int, name: bytes) -> bytes:
        if name.rstrip(b"\0") != FILE_NAME.encode():
            raise Failure(errno.ENOENT)
        return struct.pack("<4Q2I", _FILE, 0, 3600, 3600, 0, 0) + self._attributes(_FILE)

    def _attributes(self, node: int) -> bytes:
        mode = stat.S_IFDIR | 0o700 if node == _ROOT else stat.S_IFREG | 0o600
        size = 0 if node == _ROOT else self._size
        return _ATTRIBUTES.pack(node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def _read(self, _: int, body: bytes) -> bytes:
        if self._behaviour.fails_reads:
            raise Failure(errno.EIO)
        offset, size = _TRANSFER.unpack_from(body)[1:3]
        return os.pread(self._image, size, offset)

    def _write(self, _: int, body: bytes) -> bytes:
        offset, size = _TRANSFER.unpack_from(body)[1:3]
        if self._behaviour.fails_writes:
            raise Failure(errno.EIO)
        content = body[_TRANSFER.size : _TRANSFER.size + size]
        # The moment is taken before the write: an earlier answer was given without this write.
        self._journal.write(RECORD.pack(time.monotonic_ns(), offset, size, WRITE) + content)
        os.pwrite(self._image, content, offset)
        return struct.pack("<II", size, 0)

    def _fsync(self, *_: object) -> bytes:
        self._behaviour.flush()
        if self._behaviour.fails_writes:
            raise Failure(errno.EIO)
        self._journal.write(RECORD.pack(time.monotonic_ns(), 0, 0, FLUSH))
        self._journal.flush()
        return b""


def _is_not_known(*_: object) -> bytes:
    raise Failure(errno.ENOSYS)


def _mount(folder: Path) -> int:
    """Mounts the file system; returns the descriptor for the kernel's requests."""
    device = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    if libc.mount(b"hyperpage-lab", bytes(folder), b"fuse", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"FUSE cannot be mounted: {os.strerror(ctypes.get_errno())}")
    return device


def _listen(behaviour: Behaviour) -> None:
    for line in sys.stdin:
        behaviour.take(line)
        print("done", flush=True)
    # The process that used the disk is gone, and a hanging flush would keep its file system for ever.
    behaviour.heal()


if __name__ == "__main__":
    folder, image, journal = map(Path, sys.argv[1:])
    behaviour = Behaviour()
    server = DiskServer(image, journal, behaviour)
    device = _mount(folder)
    threading.Thread(target=_listen, args=[behaviour], daemon=True).start()
    print("ready", flush=True)
    server.serve(device)
