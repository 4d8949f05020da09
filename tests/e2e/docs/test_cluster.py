"""The guide to several machines: its commands, run on one machine, with a leader that is killed."""

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from ops.store.data_directory import read_runtime
from tests.support.documents.guides import guide
from tests.support.patience import wait_for
from tests.support.services.command_line import PROGRAM, Result, environment, hyperpage

GUIDE = guide("cluster.md")
# The guide indents the commands to type.
TYPED = re.findall(r"^    hyperpage (.*)$", GUIDE, re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The folder in which the guide's cluster runs."""
    run = TYPED[0]
    assert run == "cluster run"
    with (tmp_path / "cluster.log").open("w") as log:
        process = subprocess.Popen(
            [*PROGRAM, *shlex.split(run)], cwd=tmp_path, env=environment(), stdout=log, stderr=log
        )
    try:
        wait_for(lambda: len([*tmp_path.glob("cluster/*/runtime.json")]) == 3)
        yield tmp_path
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def typed(command: str, folder: Path) -> Result:
    """The result of a command of the guide, whose data directory is placed in `folder`."""
    arguments = shlex.split(command)
    place = arguments.index("--data") + 1
    arguments[place] = str(folder / arguments[place])
    return hyperpage(*arguments)


def test_what_the_guide_has_one_type_in_goes_on_after_the_leader_was_killed(folder: Path):
    send, query, *operating = TYPED[1:5]
    assert typed(send, folder).code == 0
    for command in operating:
        wait_for(partial(succeeds, command, folder))
    names = {"a", "b", "c"}
    leader = leading_in(folder, names)
    runtime = read_runtime(folder / "cluster" / leader)
    assert runtime is not None
    os.kill(runtime.pid, signal.SIGKILL)

    wait_for(lambda: typed(send, folder).code == 0)
    wait_for(lambda: [row["name"] for row in rows(query, folder)] == ["acme/site"] * 2)
    assert leading_in(folder, names) != leader


def succeeds(command: str, folder: Path) -> bool:
    return typed(command, folder).code == 0


def leading_in(folder: Path, names: set[str]) -> str:
    """The name of the member that says of itself that it leads."""
    found: list[str] = []

    def somebody_leads() -> bool:
        for name in names:
            said = hyperpage("status", "--json", "--data", folder / "cluster" / name)
            if said.code != 5 and said.json["writer"] is not None:
                found.append(name)
        return bool(found)

    wait_for(somebody_leads)
    return found[-1]


def rows(query: str, folder: Path) -> list[dict[str, str]]:
    result = typed(f"{query} --json", folder)
    found: list[dict[str, str]] = msgspec.json.decode(result.out)["items"] if result.code == 0 else []
    return found
