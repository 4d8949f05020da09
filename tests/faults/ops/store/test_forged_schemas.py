"""A store's file with a forged schema is not served, not written to, and doctor says what is in it."""

import shutil
from pathlib import Path

import pytest

from tests.support.services.command_line import hyperpage
from tests.support.stores.backing_up import Stored
from tests.support.stores.forging import FORGED_SCHEMAS, tamper
from tests.support.stores.old_databases import old_database


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stored = Stored(tmp_path_factory.mktemp("made"))
    stored.work(30)
    stored.close()
    return stored.path


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir(mode=0o700)
    shutil.copy(made, tmp_path / "data" / "hyperpage.db")
    return tmp_path / "data"


@pytest.mark.parametrize("how", ["a trigger", "a check", "an endless view in place of the records"])
def test_such_a_store_is_not_written_to(data: Path, tmp_path: Path, how: str):
    statements, named = FORGED_SCHEMAS[how]
    tamper(data / "hyperpage.db", statements)
    old = old_database(tmp_path / "old.db")
    for command in (
        ("serve", "--no-http"),
        ("import", old),
        ("import", old, "--dry-run"),
        ("migrate", "up"),
        ("migrate", "down"),
        ("projections", "rebuild"),
        ("backup", "create"),
    ):
        result = hyperpage(*command, "--data", data)
        assert result.code == (6 if command == ("backup", "create") else 1), command
        assert named in result.err, command
        assert "hint: somebody has changed the file" in result.err, command
        assert "Traceback" not in result.err


@pytest.mark.parametrize("how", FORGED_SCHEMAS)
def test_doctor_names_it(data: Path, how: str):
    statements, named = FORGED_SCHEMAS[how]
    tamper(data / "hyperpage.db", statements)
    result = hyperpage("doctor", "--quick", "--data", data, "--json")
    assert (result.code, result.json["status"]) == (6, "wrong")
    found = {one["check"]: one for one in result.json["findings"]}
    assert named in found["schema"]["message"]
    assert found["schema"]["hint"]
