"""The store's file, or one beside it, is moved away, deleted or replaced while the service has it open."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.patience import patiently
from tests.support.services.command_line import Served

ENDS_WITHIN_SECONDS = patiently(15.0)
STORE, WAL = "hyperpage.db", "hyperpage.db-wal"


def _replace(path: Path) -> None:
    copy = path.with_name("a copy")
    shutil.copy2(path, copy)
    copy.replace(path)


@pytest.mark.parametrize(
    ("name", "act", "word"),
    [
        (STORE, lambda path: path.rename(path.with_name("moved away")), "moved or deleted"),
        (STORE, Path.unlink, "moved or deleted"),
        (STORE, _replace, "replaced"),
        # The WAL has the commits of the last minutes, which would be lost after a crash. A connection that
        # is opened before the service notices makes another WAL.
        (WAL, Path.unlink, "(moved or deleted|replaced)"),
    ],
    ids=["moved", "deleted", "replaced", "the WAL deleted"],
)
def test_a_service_ends_when_what_it_stores_goes_to_a_file_that_nobody_will_find(
    tmp_path: Path, name: str, act: Callable[[Path], object], word: str
) -> None:
    with Served(tmp_path / "data") as served:
        assert served("send", "app_state.set", '{"key": "k", "value": 1}').code == 0

        act(served.data / name)

        assert served.process.wait(ENDS_WITHIN_SECONDS) == 1
        said = served.log.read_text()
    assert re.search(f"{name} was {word} while the service used it", said)
    assert "put the file back" in said
