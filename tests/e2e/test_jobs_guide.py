"""The guide to jobs, typed in word for word."""

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.catalogue import VERBS
from domain.jobs import STATES
from tests.e2e.command_line import PROGRAM, ROOT, environment, wait_for

GUIDE = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8")
COMMANDS = [
    line.removeprefix("$ .venv/bin/hyperpage ")
    for block in re.findall(r"```console\n(.*?)```", GUIDE, re.DOTALL)
    for line in block.splitlines()
]
[WORKER] = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in which the service runs on `./data`, as `make run` has it."""
    serve = [*PROGRAM, "serve", "--data", "./data", "--nats-port", "0"]
    with subprocess.Popen(serve, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE) as service:

        def is_ready() -> bool:
            assert service.poll() is None, "the service has ended"
            return (tmp_path / "data" / "runtime.json").exists()

        wait_for(is_ready)
        yield tmp_path
        service.send_signal(signal.SIGTERM)
        assert service.wait(timeout=20) == 0


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_does_what_it_says_and_the_worker_does_the_jobs(folder: Path) -> None:
    said = [run(folder, *PROGRAM, *shlex.split(command), "--json") for command in COMMANDS]

    answers = [json.loads(one) for one in said]
    assert answers[3]["events"] == ["job.replaced.v1"]
    assert answers[3]["result"] == {"existing": answers[2]["stream"].removeprefix("jobs/")}
    assert [row["id"] for row in answers[6]["items"]] == ["index-1"]
    assert answers[7]["events"] == []
    assert answers[12]["queues"]["default"]["states"] == {"blocked": 1, "pending": 2, "scheduled": 1}

    done = run(folder, sys.executable, "-c", WORKER)

    assert done.splitlines() == ["doing Fetch acme/site", "doing Index acme/site", "doing Every night"]
    attempts = json.loads(run(folder, *PROGRAM, "query", "jobs.attempts", '{"id": "fetch-1"}', "--json"))
    assert [one["status"] for one in attempts["items"]] == ["completed"]


def test_the_guide_names_every_verb_and_every_state() -> None:
    named = {name for name, (_, verb) in VERBS.items() if not verb.internal}
    missing = {
        name
        for name in named
        if name.startswith(("jobs.", "schedules.")) and f"`{name.partition('.')[2]}`" not in GUIDE
        if f"`{name}`" not in GUIDE
    }

    assert missing == set()
    assert all(f"`{state}`" in GUIDE for state in STATES)
