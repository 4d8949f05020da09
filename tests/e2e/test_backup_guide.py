"""Every command of the guide to backups, typed in as it stands there."""

import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.e2e.command_line import ROOT, Served, hyperpage

GUIDE = (ROOT / "docs" / "backups.md").read_text(encoding="utf-8")
COMMANDS = [
    line.removeprefix("$ hyperpage ")
    for block in re.findall(r"```console\n(.*?)```", GUIDE, re.DOTALL)
    for line in block.splitlines()
]
NAME = re.compile(r"hyperpage-backup-\S+\.db")
TIME = re.compile(r"2026-11-24T08:15:00Z")


def test_the_guide_s_commands_do_what_it_says(tmp_path: Path):
    data = tmp_path / "data"
    with Served(data) as service:
        service.ask("send", "app_state.set", '{"key": "k", "value": 1}')
        assert len(COMMANDS) == 8
        run = [command for command in COMMANDS if "restore" not in command]
        for command in run:
            names = [one["name"] for one in service.ask("backup", "list")]
            result = service(*shlex.split(NAME.sub(names[0] if names else "", command)))
            assert result.code == 0, (command, result.err)
    # The examples' own names and moments are of another store.
    now = (datetime.now(UTC) + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for command in COMMANDS:
        if "restore" in command:
            newest = hyperpage("backup", "list", "--data", data, "--json").json[0]["name"]
            spelled = TIME.sub(now, NAME.sub(newest, command))
            result = hyperpage(*shlex.split(spelled), "--data", data)
            assert result.code == 0, (command, result.err)
    with Served(data) as service:
        assert service.runtime["timeline"] == 4
        assert service.ask("query", "app_state.get", '{"key": "k"}')["value"] == 1
