"""Figures of the operating system for this process, and for the disks that it writes to."""

import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ops.settings import Settings

MIB = 1024 * 1024


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """The room on a disk that the service writes to; all folders on one disk share an entry."""

    folder: str
    """The first of the folders."""
    used_for: list[str]
    free_bytes: int
    """The bytes that a process without special rights may still write."""
    total_bytes: int


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of this process. `limit_bytes` is the container's or the unit's, or else the machine's."""

    resident_bytes: int
    limit_bytes: int


def disks(folders: Mapping[str, Path]) -> list[Disk]:
    """The disks of folders, which are given by their use; for a folder that is not there yet, its parent's.

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


def disks_of(settings: Settings) -> list[Disk]:
    """The disks of store, backups and archive. A bucket has no disk that could be full."""
    places = {"store": settings.data, "backups": settings.backup_folder, "archive": settings.archive_folder}
    return disks({name: place for name, place in places.items() if isinstance(place, Path)})


def memory() -> Memory:
    """The memory of this process now; on systems other than Linux, the most that it ever had."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Memory(
        resident_bytes=_resident_bytes(),
        limit_bytes=min([machine, *limits_in(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))]),
    )


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def limits_in(groups: Path, own: Path) -> list[int]:
    """The memory that the control groups of a process, and those around them, allow, in bytes.

    A container sees its own group as the outermost one; the group of a systemd unit is inside others.
    https://docs.kernel.org/admin-guide/cgroup-v2.html, memory.max
    """
    try:
        lines = own.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        # The first version of control groups has a tree for each kind; its "no limit" is a number near 2^63.
        tree = groups / controllers
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        folder = tree / path.lstrip("/")
        for one in (folder, *folder.parents[: len(folder.relative_to(tree).parts)]):
            try:
                text = (one / name).read_text(encoding="ascii").strip()
            except OSError:
                continue
            if text.isdigit():
                found.append(int(text))
    return found
