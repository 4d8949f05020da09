"""A disk that a test fills as far as it likes: `SmallDisk`. Mounting one takes root."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PAGE_BYTES = 4096


class SmallDisk:
    """A disk in memory, mounted at a folder that is made."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.folder = folder
        folder.mkdir()
        self._filler = folder / "filler"
        options = ["-t", "tmpfs", "-o", f"size={size_bytes}"]
        subprocess.run(["mount", *options, "tmpfs", str(folder)], check=True, capture_output=True)

    def grow(self, size_bytes: int) -> None:
        """Gives it more room."""
        options = ["-o", f"remount,size={size_bytes}"]
        subprocess.run(["mount", *options, "tmpfs", str(self.folder)], check=True, capture_output=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    @property
    def free_bytes(self) -> int:
        return shutil.disk_usage(self.folder).free

    @contextmanager
    def leaving(self, room_bytes: int) -> Iterator[None]:
        """No more than so much is free, for the length of the block."""
        with self._filler.open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, max(PAGE_BYTES, self.free_bytes - room_bytes))
        try:
            yield
        finally:
            self._filler.unlink()


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """A small disk for the length of the block; a test that cannot mount it is skipped."""
    try:
        disk = SmallDisk(folder, size_bytes)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk cannot be mounted here, which takes root: {error}")
    yield disk
    disk.unmount()
