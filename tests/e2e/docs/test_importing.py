"""Every command of the guide to importing, typed in as it stands there."""

import shlex

from tests.support.documents.guides import blocks, guide
from tests.support.services.command_line import hyperpage
from tests.support.stores.old_databases import APP_STATE, JOB, old_database

GUIDE = guide("importing.md")
COMMANDS = [
    line.removeprefix("$ hyperpage ") for block in blocks("console", GUIDE) for line in block.splitlines()
]


def test_the_guide_s_commands_do_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    old_database(tmp_path / "old.db", jobs=[JOB], app_state=[APP_STATE])
    assert len(COMMANDS) == 4
    results = []
    for command in COMMANDS:
        results.append(hyperpage(*shlex.split(command)))
        assert results[-1].code == 0, (command, results[-1])
        assert (tmp_path / "data").exists() == ("--dry-run" not in command)
    assert results[-1].json["tables"]["jobs"] == {"rows": 1, "imported": 0, "unchanged": 1, "not_taken": 0}
