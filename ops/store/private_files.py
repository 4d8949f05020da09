"""Files in a data directory are for their owner alone: rights of other users are found, and taken away."""

import logging
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

# The files that a service keeps directly in its directory. It leaves all others as they are: the directory
# may be a user's home. The settings file belongs to an operator, and may have the broker's password.
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
# The folders of a service, with all that is in them: of the embedded nats-server, the configuration for an
# external one, the durable intake, the lake of analyses, links that log a browser in, the audit log.
FOLDERS = ("nats", "nats-config", "durable", "lake", "log-ins", "audit")
OTHERS = stat.S_IRWXG | stat.S_IRWXO
# At most this many files are named in a line of the log.
SHOWN = 5

logger = logging.getLogger(__name__)


class ForeignFileError(PermissionError):
    """Others may read or change a file, and the service cannot mend that: another user owns the file."""

    hint = "give it to the user that the service runs as (`chown`), with `chmod go-rwx`; or have it deleted"


def open_to_others(data: Path, places: Iterable[object]) -> list[Path]:
    """Files and folders of a service in its data directory that group or others may use; no symlinks.

    `places` are the folders of backups and archive; those inside the directory are checked, too. The
    directory itself is not checked: it stays as its owner made it.
    """
    return [path for path, mode in _ours(data, places) if mode & OTHERS]


def take_from_others(data: Path, places: Iterable[object]) -> None:
    """Takes the rights of group and others from these files, before SQLite opens its own; logs that.

    Raises:
        ForeignFileError: a file belongs to another user, and still other users may read or change it.
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
    """The first few paths, and how many more there are."""
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    return ", ".join(map(str, paths[:SHOWN])) + more


def _close(path: Path) -> bool:
    """Takes the rights away; whether others still have them, as on file systems without such rights."""
    # With a descriptor that follows no symlink: a user who may write to the folder could put one there.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) & ~OTHERS)
        return bool(os.fstat(descriptor).st_mode & OTHERS)
    finally:
        os.close(descriptor)


def _require_harmless(path: Path) -> None:
    """Returns if it does no harm that the rights of a file cannot be changed.

    That is so for the settings, which an operator may own, and for files of the service's own user.

    Raises:
        ForeignFileError: another user owns the file, and others may read it, or its group may write to it.
    """
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
    # Not `Path.resolve`, which raises another error if a link leads to itself.
    return Path(os.path.realpath(data)) in Path(os.path.realpath(folder)).parents


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        # The file is gone meanwhile, or was never there.
        return 0
