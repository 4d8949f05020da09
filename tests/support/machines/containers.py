"""Podman with its own storage, and a base image that is made from files of this machine."""

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Programs that a shell in a Dockerfile needs beside Python, as in any slim image.
_TOOLS = {"dash": "sh", "mkdir": "mkdir", "chown": "chown", "env": "env"}
# Libraries that are loaded by name at run time, so no program lists them.
_LIBRARIES = ("libnss_*", "libpthread", "libdl", "librt", "libutil", "libgcc_s", "libstdc++")
_CONFIGURATION = """
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=50000:50000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


class Podman:
    """A podman on a folder, run by root, with runc: crun fails on machines with hybrid cgroups."""

    def __init__(self, folder: Path) -> None:
        self._configuration = folder / "containers.conf"
        self._configuration.write_text(_CONFIGURATION)
        # The driver vfs copies instead of mounting: it works inside containers too, and leaves no mounts.
        self._command = [
            *("podman", "--storage-driver", "vfs"),
            *("--root", str(folder / "storage"), "--runroot", str(folder / "run")),
            *("--network-config-dir", str(folder / "networks")),
        ]

    def __call__(self, *arguments: str | Path, seconds: float = 60, check: bool = True) -> str:
        """The output of a command of podman."""
        done = subprocess.run(
            [*self._command, *map(str, arguments)],
            env={
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "CONTAINERS_CONF": str(self._configuration),
                "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
            },
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout.strip()


@contextmanager
def podman_in(folder: Path) -> Iterator[Podman]:
    """A podman; its containers are gone afterwards."""
    podman = Podman(folder)
    try:
        yield podman
    finally:
        podman("rm", "--all", "--force", "--time", "0", check=False)


def write_python_image(path: Path) -> None:
    """A tar file with this Python at /usr/local, a shell, and the libraries of both: python:slim, nearly."""
    prefix, name = Path(sys.base_prefix), f"python{sys.version_info[0]}.{sys.version_info[1]}"
    program = (prefix / "bin" / name).resolve()
    with tarfile.open(path, "w") as image:
        image.add(program, f"usr/local/bin/{name}")
        for link in ("python3", "python"):
            entry = tarfile.TarInfo(f"usr/local/bin/{link}")
            entry.type, entry.linkname = tarfile.SYMTYPE, name
            image.addfile(entry)
        image.add(prefix / "lib" / name, f"usr/local/lib/{name}", filter=_without_what_is_not_pythons)
        for library in (prefix / "lib").glob("libpython*.so*"):
            image.add(library, f"usr/lib/{library.name}")
        loaded = _libraries_of(program)
        for module in (prefix / "lib" / name / "lib-dynload").glob("*.so"):
            loaded |= _libraries_of(module)
        for tool, called in _TOOLS.items():
            found = Path(str(shutil.which(tool))).resolve()
            image.add(found, f"bin/{called}")
            loaded |= _libraries_of(found)
        folder = next(one.parent for one in loaded if one.name.startswith("libc.so"))
        loaded |= {one for pattern in _LIBRARIES for one in folder.glob(f"{pattern}.so*")}
        for library in sorted(loaded):
            if prefix not in library.parents:
                image.add(library.resolve(), str(library).lstrip("/"))
        for where, mode in (("tmp", 0o1777), ("var/lib", 0o755), ("etc", 0o755), ("usr/bin", 0o755)):
            entry = tarfile.TarInfo(where)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            image.addfile(entry)


def _libraries_of(program: Path) -> set[Path]:
    printed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    return {Path(word) for word in printed.split() if word.startswith("/") and Path(word).exists()}


def _without_what_is_not_pythons(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    parts = entry.name.split("/")
    if {"__pycache__", "test", "tests", "idlelib"} & set(parts) or entry.name.endswith(".a"):
        return None
    if "site-packages" in parts:
        inside = parts[parts.index("site-packages") + 1 :]
        # Of the installed packages only pip, as in python:slim.
        if inside and not inside[0].startswith("pip"):
            return None
    entry.uid = entry.gid = 0
    return entry
