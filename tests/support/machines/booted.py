"""A systemd that runs as the first process of namespaces of its own, on a copy of this machine's files.

overlay: this machine's files below, a file system in memory above, so that nothing of it is changed
processes, mounts, control groups, names: its own
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.patience import wait_for

SYSTEMD = Path("/lib/systemd/systemd")
_NAMESPACES = (
    *("--mount", "--pid", "--cgroup", "--uts", "--ipc"),
    *("--fork", "--kill-child", "--propagation=private"),
)
_ENTERED = ("-m", "-p", "-u", "-i", "-C", "-r", "-w")
# Control groups of version 2 only, since systemd no longer supports the first. `pivot_root`, since the kernel
# makes no user namespaces within a `chroot`.
_BOOT = """
set -e
mount -t tmpfs tmpfs "$1"; cd "$1"; mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir="$1/upper",workdir="$1/work" root; cd root
mount -t proc proc proc; mount -t sysfs sysfs sys; mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run; mount --rbind /dev dev
cp -a "$1.files/." .
echo 'hyperpage:x:11999:11999::/var/lib/hyperpage:/usr/sbin/nologin' >> etc/passwd
echo 'hyperpage:x:11999:' >> etc/group
root=$PWD; for path in "${@:2}"; do chmod a+x "$root$path"; done
mkdir -p old; pivot_root . old; umount -l /old
exec env -i container=other PATH=/usr/bin:/bin:/usr/sbin:/sbin \
    /lib/systemd/systemd --unit=tried.target --log-target=null --show-status=no
"""


def missing() -> str | None:
    """The reason why no systemd can be booted here; `None` if it can be tried."""
    if sys.platform != "linux" or os.getuid() != 0:
        return "only root, on Linux, can make the namespaces that a systemd needs"
    tools = [one for one in ("unshare", "nsenter", "pivot_root") if shutil.which(one) is None]
    if tools or not SYSTEMD.exists():
        return f"missing: {', '.join(tools) or SYSTEMD}"
    return None


class Booted:
    """The systemd, and commands in its namespaces."""

    def __init__(self, process_id: int) -> None:
        self._process_id = process_id

    def __call__(self, *command: str, check: bool = True) -> str:
        """The output of a command that runs there."""
        done = subprocess.run(
            ["nsenter", "--target", str(self._process_id), *_ENTERED, *command],
            env={"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self("systemctl", "show", unit, "--property", name, "--value")


@contextmanager
def booted(
    folder: Path, files: Mapping[str, str], *, units: str, passable: Iterable[str] = ()
) -> Iterator[Booted]:
    """A systemd for the length of the block, which starts these units.

    `files` are written first, by their paths; every user may enter the folders `passable`.
    """
    staged = folder.with_name(f"{folder.name}.files")
    target = f"[Unit]\nDefaultDependencies=no\nWants={units} systemd-journald.service dbus.service\n"
    for name, content in {**files, "/etc/systemd/system/tried.target": target}.items():
        path = staged / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    folder.mkdir()
    with subprocess.Popen(
        ["unshare", *_NAMESPACES, "bash", "-c", _BOOT, "boot", str(folder), *passable],
        stderr=subprocess.PIPE,
        text=True,
    ) as outside:
        try:
            children = Path(f"/proc/{outside.pid}/task/{outside.pid}/children")

            def first_process() -> int | None:
                assert outside.poll() is None, outside.stderr and outside.stderr.read()
                for child in children.read_text().split():
                    if "systemd" in Path(f"/proc/{child}/comm").read_text():
                        return int(child)
                return None

            inside = Booted(wait_for(first_process))
            wait_for(lambda: inside("systemctl", "is-system-running", check=False) in ("running", "degraded"))
            yield inside
        finally:
            # All processes in the namespaces end with the first one.
            outside.kill()
