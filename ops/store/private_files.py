"""What lies in a data directory is for its owner alone: what others may read is found and taken from them."""

import logging
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

# What a service keeps right in its directory; everything else there, it leaves as it is: the directory may be
# anybody's home. The file of settings is an operator's, and may have the broker's password.
NAMES = (
    *(
        "hyperpage.*",
        "runtime.*",
        "admin.*",
        "service.lock",
        "tokens.*",
        "users.*",
        "audit.*",
        "archive.*",
        "restore.*",
        "repairs.*",
        "room.*",
        "stream-audit.*",
    ),
    *("signing-key.*", "consumer-names.key"),
)
SETTINGS_FILE = "hyperpage.toml"
# All of them, with what is in them: the embedded nats-server's, what the intake writes down, an analyst's,
# links that log in, the record of who did what.
FOLDERS = ("nats", "nats-config", "durable", "lake", "log-ins", "audit")
OTHERS = stat.S_IRWXG | stat.S_IRWXO
# As many are named in a line of the log.
SHOWN = 5

logger = logging.getLogger(__name__)


class ForeignFileError(PermissionError):
    """Others may read or change a file of the service's, and it is not the service's to mend."""

    hint = "give it to the user that the service runs as (`chown`), with `chmod go-rwx`; or have it deleted"


def open_to_others(data: Path, places: Iterable[object]) -> list[Path]:
    """Files and folders of a service in its data directory that group or others may use; no symlinks.

    `places` are where backups and archive are: those inside of the directory belong to it, others do not. The
    directory itself is not looked at: it stays as its owner made it.
    """
    return [path for path, mode in _ours(data, places) if mode & OTHERS]


def take_from_others(data: Path, places: Iterable[object]) -> None:
    """Leaves these to their owner alone, and says so in the log; before SQLite opens its files.

    Raises:
        ForeignFileError: one belongs to another user, who could read or forge what the service keeps.
    """
    closed: list[Path] = []
    left: list[Path] = []
    for path in open_to_others(data, places):
        try:
            still_open = _close(path)
        except FileNotFoundError:
            continue
        except PermissionError:
            _require_harmless(path)
            still_open = True
        (left if still_open else closed).append(path)
    if closed:
        logger.warning("others on this machine could use %s, and cannot any more", in_short(closed))
    if left:
        logger.warning("others on this machine may use %s, and it cannot be taken from them", in_short(left))
    if data.stat().st_mode & stat.S_IWOTH and not data.stat().st_mode & stat.S_ISVTX:
        logger.warning(
            "everybody on this machine may put files into %s, and remove those of the service", data
        )


def in_short(paths: Sequence[Path]) -> str:
    """The first few of them, and how many more there are."""
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    return ", ".join(map(str, paths[:SHOWN])) + more


def _close(path: Path) -> bool:
    """Whether the file is open to others all the same, as on file systems without such rights."""
    # By a descriptor that follows no symlink: whoever may write to the folder could put one there meanwhile.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) & ~OTHERS)
        return bool(os.fstat(descriptor).st_mode & OTHERS)
    finally:
        os.close(descriptor)


def _require_harmless(path: Path) -> None:
    """An operator may own the settings, and a file system may know one owner alone."""
    found = path.lstat()
    if path.name == SETTINGS_FILE or found.st_uid == os.geteuid():
        return
    if found.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise ForeignFileError(
            f"{path} belongs to another user (number {found.st_uid}), and others may read or change it"
        )


def _ours(data: Path, places: Iterable[object]) -> Iterator[tuple[Path, int]]:
    inside = {one for one in places if isinstance(one, Path) and _is_inside(one, data)}
    for pattern in NAMES:
        for path in data.glob(pattern):
            if stat.S_ISREG(mode := _mode(path)):
                yield path, mode
    for folder in (*(data / one for one in FOLDERS), *sorted(inside)):
        if stat.S_ISDIR(_mode(folder)):
            yield from _all_in(folder)


def _all_in(folder: Path) -> Iterator[tuple[Path, int]]:
    yield folder, _mode(folder)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _all_in(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path), _mode(Path(entry.path))


def _is_inside(folder: Path, data: Path) -> bool:
    # Not `Path.resolve`, which fails in a way of its own where a link leads to itself.
    return Path(os.path.realpath(data)) in Path(os.path.realpath(folder)).parents


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        # Gone meanwhile, or never there.
        return 0
