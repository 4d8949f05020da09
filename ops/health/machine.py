"""What the operating system says of this process and of the disks that it writes to."""

import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

MIB = 1024 * 1024
# Of a container; the older one is that of the first version of control groups, whose "no limit" is a number
# near 2^63.
_LIMIT_FILES = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """The room for what the service writes; folders on one disk are one entry."""

    folder: str
    """The first of the folders."""
    used_for: list[str]
    free_bytes: int
    """What a process without special rights may still write."""
    total_bytes: int


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of this process. `limit_bytes` is the container's, or else the machine's."""

    resident_bytes: int
    limit_bytes: int


def disks(folders: Mapping[str, Path]) -> list[Disk]:
    """The room for each folder, by what it is used for; one that is not there yet counts as its parent.

    Raises:
        OSError: a disk does not answer.
    """
    by_device: dict[int, tuple[Path, list[str]]] = {}
    for used_for, folder in folders.items():
        existing = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
        by_device.setdefault(existing.stat().st_dev, (existing, []))[1].append(used_for)
    found = []
    for folder, used_for_each in by_device.values():
        state = os.statvfs(folder)
        found.append(
            Disk(
                folder=str(folder),
                used_for=used_for_each,
                free_bytes=state.f_bavail * state.f_frsize,
                total_bytes=state.f_blocks * state.f_frsize,
            )
        )
    return found


def memory() -> Memory:
    """What this process has in memory now (elsewhere than on Linux, the most that it ever had)."""
    return Memory(resident_bytes=_resident_bytes(), limit_bytes=_limit_bytes())


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def _limit_bytes() -> int:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for file in _LIMIT_FILES:
        try:
            text = file.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            return min(int(text), machine)
    return machine
