"""A disk with a real ext4 or XFS on it, whose writes are recorded, and which can be made to fail.

It takes root, FUSE and loop devices: `why_not` says what is missing.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.lab.machines.disk_server import FILE_NAME
from tests.support.patience import wait_for
from tests.support.repository import ROOT

# Unmounting waits for processes that still write.
GONE_SECONDS = 30
MIB = 1024 * 1024
# The smallest that mkfs.xfs makes.
SIZE_BYTES = 320 * MIB
MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
}


def why_not(kind: str) -> str | None:
    """The missing part for a disk with such a file system; `None` if nothing is missing."""
    if os.geteuid() != 0:
        return "loop devices take root"
    for path in ("/dev/fuse", "/dev/loop-control"):
        if not os.access(path, os.W_OK):
            return f"there is no {path}"
    for program in (MAKE[kind][0], "losetup", "mount"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    return None


class RecordedDisk:
    """A mounted disk.

    `folder` is its mount point, `base` its image before it was mounted, `journal` the writes since.
    """

    def __init__(self, parts: Path, kind: str, server: "subprocess.Popen[str]") -> None:
        self.folder = parts / "disk"
        self.base = parts / "base.image"
        self.journal = parts / "journal"
        self._file = parts / "below" / FILE_NAME
        self._kind = kind
        self._server = server
        self._mounted = ExitStack()
        self._mounted.enter_context(mounted(self._file, self.folder, kind))

    def mount_again(self) -> None:
        """Heals the disk and mounts its file system again after it failed. No process may use it."""
        self.behave("heal")
        self._mounted.close()
        self._mounted.enter_context(mounted(self._file, self.folder, self._kind))

    def close(self) -> None:
        self._mounted.close()

    def behave(self, how: str) -> None:
        """Sets the disk's behaviour, see `disk_server`: `heal`, `hang`, `slow 0.5`, `fail`, `fail-reads`."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(how + "\n")
        self._server.stdin.flush()
        assert self._server.stdout.readline() == "done\n"


@contextmanager
def recorded_disk(folder: Path, kind: str, *options: str) -> Iterator[RecordedDisk]:
    """A new disk for the length of the block; `folder` is empty, and holds its parts.

    `options` are those of mkfs.
    """
    base, image, journal = folder / "base.image", folder / "now.image", folder / "journal"
    below, top = folder / "below", folder / "disk"
    below.mkdir()
    top.mkdir()
    make_image(base, kind, *options)
    subprocess.run(["cp", "--sparse=always", base, image], check=True)
    with ExitStack() as stack:
        server = stack.enter_context(_server(below, image, journal))
        disk = RecordedDisk(folder, kind, server)
        stack.callback(disk.close)
        stack.callback(disk.behave, "heal")
        yield disk


def make_image(image: Path, kind: str, *options: str) -> None:
    """Makes an empty file system in a file."""
    with image.open("wb") as file:
        file.truncate(SIZE_BYTES)
    subprocess.run([*MAKE[kind], *options, str(image)], check=True, capture_output=True)


@contextmanager
def mounted(image: Path, where: Path, kind: str) -> Iterator[None]:
    """The file system of an image for the length of the block; its journal is replayed first, if need be."""
    # XFS refuses two file systems with one id, and a cut one is a copy of one that may still be mounted.
    options = ["-o", "nouuid"] if kind == "xfs" else []
    device = subprocess.run(
        ["losetup", "--find", "--show", str(image)], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        subprocess.run(["mount", "-t", kind, *options, device, str(where)], check=True, capture_output=True)
        try:
            yield
        finally:
            _unmount(where)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True, capture_output=True)


def _unmount(where: Path) -> None:
    """Unmounts; killed processes that have not ended yet keep the file system busy, so it tries again.

    Raises:
        TimeoutError: it is still busy.
    """

    def is_unmounted() -> bool:
        done = subprocess.run(["umount", str(where)], check=False, capture_output=True, timeout=GONE_SECONDS)
        return done.returncode == 0

    wait_for(is_unmounted, GONE_SECONDS)


@contextmanager
def _server(below: Path, image: Path, journal: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "tests.lab.machines.disk_server", str(below), str(image), str(journal)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            assert server.stdout.readline() == "ready\n", "the disk did not start"
            yield server
        finally:
            subprocess.run(["umount", "--lazy", str(below)], check=False, capture_output=True)
            server.stdin.close()
            try:
                server.wait(GONE_SECONDS)
            finally:
                # A file system that is still mounted on the disk would keep the server running without end.
                server.kill()
