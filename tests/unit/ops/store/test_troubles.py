"""Errors of the machine and of SQLite: what is said of them, and which of them are damage of a file."""

import errno
import os
from pathlib import Path
from typing import Any, cast

import apsw
import pytest

from ops.backup.sound import require_sound
from ops.settings_sources import load_settings
from ops.store.troubles import hint_of, may_be_damage, message_of, require_damage
from ops.targets.errors import BackupError


class Failing:
    """A connection whose file cannot be read now."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def execute(self, *_: object) -> Any:
        raise self._error


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (apsw.FullError("not an error"), errno.ENOSPC),
        (apsw.BusyError("database is locked"), errno.EBUSY),
        (apsw.NoMemError("out of memory"), errno.ENOMEM),
    ],
    ids=str,
)
def test_what_keeps_a_backup_from_being_read_is_not_taken_for_damage(error: apsw.Error, number: int) -> None:
    with pytest.raises(OSError, match="a-backup") as caught:
        require_sound(cast("apsw.Connection", Failing(error)), "a-backup")
    assert caught.value.errno == number
    assert not may_be_damage(error)


@pytest.mark.parametrize("error", [apsw.CorruptError("malformed"), apsw.NotADBError("no database")], ids=str)
def test_damage_is_damage(error: apsw.Error) -> None:
    require_damage(error, "a-backup")
    with pytest.raises(BackupError, match=r"a-backup is no sound SQLite file") as caught:
        require_sound(cast("apsw.Connection", Failing(error)), "a-backup")
    # It may be all that there is.
    assert "keep this one until another is proven" in caught.value.hint
    assert may_be_damage(error)


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_error_of_the_system_says_what_is_wrong_where_and_what_to_do(number: int) -> None:
    error = OSError(number, os.strerror(number), "/a/file")
    assert message_of(error) == f"/a/file: {os.strerror(number)}"
    assert len(hint_of(error).split()) > 4


def test_an_error_that_knows_better_is_heard() -> None:
    assert hint_of(BackupError("damaged", "it", "look there")) == "look there"
    assert hint_of(RuntimeError())
    assert message_of(OSError("it went away")) == "it went away"


def test_a_settings_file_that_cannot_be_read_says_why_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{tmp_path} cannot be read: Is a directory") as caught:
        load_settings({}, {"HYPERPAGE_CONFIG": str(tmp_path)})
    assert "something else is at this path" in hint_of(caught.value)
