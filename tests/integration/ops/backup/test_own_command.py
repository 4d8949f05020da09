"""The settings and variables that a service gives to the process that makes its backups."""

import asyncio
import json
from pathlib import Path

import pytest

from ops.backup.own_command import WITHHELD, run_backup_command

# Read by Python when it starts.
CUSTOMIZED = "import json, os; open({!r}, 'w').write(json.dumps(dict(os.environ)))"


def test_it_gets_the_settings_but_no_password_of_the_broker_and_no_word_of_a_supervisor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in WITHHELD:
        monkeypatch.setenv(name, "nats://user:s3cret@127.0.0.1:4222")
    monkeypatch.setenv("HYPERPAGE_BACKUPS", str(tmp_path / "kept"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "sitecustomize.py").write_text(CUSTOMIZED.format(str(tmp_path / "seen.json")))

    ran = asyncio.run(run_backup_command(tmp_path / "data", "list"))

    seen = json.loads((tmp_path / "seen.json").read_text())
    assert ran.succeeded or "s3cret" not in ran.message
    assert seen["HYPERPAGE_BACKUPS"] == str(tmp_path / "kept")
    assert WITHHELD & seen.keys() == set()
    assert "s3cret" not in json.dumps(seen)


def test_a_folder_of_the_working_directory_that_is_called_ops_is_not_run_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "__init__.py").write_text("raise SystemExit('taken over')")
    monkeypatch.chdir(tmp_path)

    ran = asyncio.run(run_backup_command(tmp_path / "data", "list"))

    assert "taken over" not in ran.message
