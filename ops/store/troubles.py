"""Errors of the machine and of SQLite in words, with what to do.

message_of, hint_of   what is wrong, and what to do about it
may_be_damage         whether an error may come from a damaged file
require_damage        separates errors of a damaged file from errors of the machine
"""

import errno
import os
from collections.abc import Mapping

import apsw

from migrations.sqlite_words import kind_of, words_of

_NO_ROOM = "make room on that disk, and try again: what was answered is stored, and stays"
_NO_RIGHT = "run it as the user of the service, or give that user the right (`ls -l` shows whose it is)"
_IN_USE = "another program holds it: end that, or wait, and try again; nothing was changed"
_FAILING = (
    "the disk may be failing: its errors are in the system's log (`dmesg`); copy what can still be read, then"
    " `hyperpage doctor`"
)
_DAMAGED = (
    "keep the file: `hyperpage doctor` says what is damaged, and `hyperpage backup restore --latest"
    " --dry-run` what backups and archive bring back"
)
_READ_ONLY = "mount it for writing, or name another place; nothing was changed"
_ANYTHING = "nothing more is known here: the log of the system (`dmesg`, `journalctl`) may say why"
_TOO_MANY_FILES = "too many files are open: raise the limit (`ulimit -n`; in a unit, `LimitNOFILE`)"
# Errors that say nothing about the file that was to be opened.
TOO_MANY_FILES = frozenset({errno.EMFILE, errno.ENFILE})
_SOMETHING_ELSE = "something else is at this path: name another one, or move that away"
_NOTHING_THERE = "look at how the path is written; nothing was changed"

_BY_NUMBER: Mapping[int, str] = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EFBIG: "it is larger than what was written there: look at what it is, or name another one",
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
    errno.EROFS: _READ_ONLY,
    errno.EIO: _FAILING,
    errno.EBUSY: _IN_USE,
    errno.EAGAIN: _IN_USE,
    errno.EMFILE: _TOO_MANY_FILES,
    errno.ENFILE: _TOO_MANY_FILES,
    errno.ENOENT: _NOTHING_THERE,
    errno.ENAMETOOLONG: _NOTHING_THERE,
    errno.ELOOP: _NOTHING_THERE,
    errno.EINVAL: _SOMETHING_ELSE,
    errno.EEXIST: _SOMETHING_ELSE,
    errno.ENOTDIR: _SOMETHING_ELSE,
    errno.EISDIR: _SOMETHING_ELSE,
    errno.EADDRINUSE: "another program has that port: name another one, or end that program",
    errno.ECONNREFUSED: "nothing listens there: see that it runs, and how the address is written",
    errno.ENOMEM: "give it more memory, or end something else; nothing was changed",
}
_BY_KIND: tuple[tuple[type[apsw.Error], str], ...] = (
    (apsw.FullError, _NO_ROOM),
    (apsw.ReadOnlyError, _READ_ONLY),
    (apsw.PermissionsError, _NO_RIGHT),
    (apsw.CantOpenError, _NO_RIGHT),
    (apsw.BusyError, _IN_USE),
    (apsw.LockedError, _IN_USE),
    (apsw.CorruptError, _DAMAGED),
    (apsw.NotADBError, _DAMAGED),
    (apsw.IOError, _FAILING),
    (apsw.NoMemError, _BY_NUMBER[errno.ENOMEM]),
)


def message_of(error: BaseException) -> str:
    """The message of an error; never empty."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    # The text of some errors also says what to do; their `problem` does not.
    return str(getattr(error, "problem", None) or words_of(error))


def hint_of(error: BaseException) -> str:
    """A hint what to do about an error: the error's own hint, if it has one; never empty."""
    for own in (getattr(error, "hint", None), getattr(error, "repair", None)):
        if isinstance(own, str) and own:
            return own
    if isinstance(error, apsw.Error):
        return next((hint for kind, hint in _BY_KIND if issubclass(kind_of(error), kind)), _ANYTHING)
    return _BY_NUMBER.get(getattr(error, "errno", None) or 0, _ANYTHING)


_OF_THE_MACHINE: tuple[tuple[type[apsw.Error], int], ...] = (
    (apsw.FullError, errno.ENOSPC),
    (apsw.NoMemError, errno.ENOMEM),
    (apsw.BusyError, errno.EBUSY),
    (apsw.LockedError, errno.EBUSY),
    (apsw.PermissionsError, errno.EACCES),
)


def may_be_damage(error: BaseException) -> bool:
    """Whether an error may come from a damaged file."""
    return isinstance(error, apsw.CorruptError | apsw.NotADBError | UnicodeDecodeError)


def require_damage(error: BaseException, name: str) -> None:
    """Returns if an error of SQLite may come from damage of the file with that name.

    Raises:
        OSError: the error is of the machine: no room, no memory, a lock, no right. The file may be sound.
    """
    for kind, number in _OF_THE_MACHINE:
        if issubclass(kind_of(error), kind):
            raise OSError(number, os.strerror(number), name) from error
