"""The guide to jobs, typed in word for word."""

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.catalogue import VERBS
from domain.jobs.state import STATES
from tests.support.documents.guides import blocks, guide
from tests.support.machines.node import CLIENT, COMPILER, INSTALLED, TYPES, in_javascript, node_with
from tests.support.patience import wait_for
from tests.support.services.command_line import environment, separately_in, served_in

GUIDE = guide("jobs.md")
COMMANDS, RETRIED, LIMITED, AWAITED = (
    [line.removeprefix("$ .venv/bin/hyperpage ") for line in block.splitlines()]
    for block in blocks("console", GUIDE)
)
WORKER, CLIENT_WORKER = blocks("python", GUIDE)
[JAVASCRIPT_WORKER] = blocks("js", GUIDE)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with served_in(tmp_path) as folder:
        yield folder


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def answers_to(commands: list[str], folder: Path) -> list[Any]:
    return [told(folder, *shlex.split(command)) for command in commands]


def told(folder: Path, *command: str) -> Any:
    """The JSON that a `hyperpage` command prints."""
    done = separately_in(folder, *command, "--json")
    assert done.code == 0, done
    return done.json


def test_the_example_does_what_it_says_and_the_worker_does_the_jobs(folder: Path) -> None:
    answers = answers_to(COMMANDS, folder)

    assert answers[3]["events"] == ["job.replaced.v1"]
    assert answers[3]["result"] == {"existing": answers[2]["stream"].removeprefix("jobs/")}
    assert [row["id"] for row in answers[6]["items"]] == ["index-1"]
    assert answers[7]["events"] == []
    assert answers[-1]["queues"]["default"]["states"] == {"blocked": 1, "pending": 2, "scheduled": 1}

    done = run(folder, sys.executable, "-c", WORKER)

    assert done.splitlines() == ["doing Fetch acme/site", "doing Index acme/site", "doing Every night"]
    attempts = told(folder, "query", "jobs.attempts", '{"id": "fetch-1"}')
    assert [one["status"] for one in attempts["items"]] == ["completed"]

    [job], [awaited] = answers_to(RETRIED, folder), answers_to(AWAITED, folder)
    assert job["events"] == ["job.enqueued.v1"]
    assert awaited["has_ended"] is True
    *_, claimed, counted = answers_to(LIMITED, folder)
    assert [one["id"] for one in claimed["result"]["jobs"]] == ["sync-acme-1"]
    assert claimed["result"]["waits_for_ends"] is True
    assert counted["groups"] == [{"value": "pending", "count": 1}, {"value": "running", "count": 1}]


@pytest.fixture(params=["the Python client", "JavaScript"])
def long_lived_worker(request: pytest.FixtureRequest, folder: Path) -> list[str]:
    """The command that runs a worker of the guide until it is told to end."""
    if request.param == "the Python client":
        return [sys.executable, "-c", CLIENT_WORKER]
    return in_javascript(folder, JAVASCRIPT_WORKER)


def test_typescript_takes_the_worker_in_javascript_as_it_is(tmp_path: Path) -> None:
    node = node_with(CLIENT, COMPILER, TYPES)
    compiler = INSTALLED / COMPILER / "bin" / "tsc"
    (tmp_path / "node_modules").symlink_to(INSTALLED)
    (tmp_path / "worker.mts").write_text(JAVASCRIPT_WORKER, encoding="utf-8")
    settings = "--noEmit --strict false --target es2022 --module nodenext --skipLibCheck --types node"

    done = subprocess.run(
        [node, str(compiler), *settings.split(), "worker.mts"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def changed(program: str, *changes: tuple[str, str]) -> str:
    for before, after in changes:
        assert program.count(before) == 1, before
        program = program.replace(before, after)
    return program


def test_the_worker_in_javascript_obeys_cancel_requests_and_gives_back_what_it_has(folder: Path) -> None:
    waits = (
        'new Promise((_, stop) => (console.log("doing", job.name), signal.addEventListener("abort", stop)))'
    )
    program = changed(
        JAVASCRIPT_WORKER,
        ('(console.log("doing", job.name), { done: job.type })', waits),
        ("LEASE_MS = 30_000", "LEASE_MS = 6_000"),
        ("GRACE_MS = 10_000", "GRACE_MS = 0"),
    )

    def row(name: str) -> dict[str, Any]:
        found: dict[str, Any] = told(folder, "query", "jobs.get", json.dumps({"id": name}))
        return found

    command = in_javascript(folder, program)
    for name in ("unwanted", "unfinished"):
        body = {"id": name, "type": "fetch", "name": name}
        told(folder, "send", "jobs.enqueue", json.dumps(body))
    with subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    ) as worker:
        try:
            wait_for(lambda: row("unfinished")["state"] == "running")
            told(folder, "send", "jobs.cancel", '{"id": "unwanted"}')
            wait_for(lambda: row("unwanted")["state"] == "cancelled")
            worker.send_signal(signal.SIGTERM)
            said, _ = worker.communicate(timeout=30)
        finally:
            worker.kill()

    assert worker.returncode == 0
    assert said.splitlines() == ["doing unwanted", "doing unfinished"]
    given_back = row("unfinished")
    assert (given_back["state"], given_back["attempt"], given_back["recovery_attempts"]) == ("pending", 0, 0)


def test_workers_of_the_guide_do_jobs_as_they_come_until_sigterm(
    folder: Path, long_lived_worker: list[str]
) -> None:
    def enqueue(job_type: str, name: str) -> None:
        body = json.dumps({"id": name, "type": job_type, "name": name})
        told(folder, "send", "jobs.enqueue", body)

    def is_completed(name: str) -> bool:
        row = told(folder, "query", "jobs.get", json.dumps({"id": name}))
        return bool(row["result"] == {"done": row["type"]} and row["state"] == "completed")

    enqueue("fetch", "before")
    with subprocess.Popen(
        long_lived_worker, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    ) as worker:
        try:
            wait_for(lambda: is_completed("before"))
            enqueue("index", "meanwhile")
            wait_for(lambda: is_completed("meanwhile"))
            worker.send_signal(signal.SIGTERM)
            said, _ = worker.communicate(timeout=30)
        finally:
            worker.kill()

    assert worker.returncode == 0
    assert said.splitlines() == ["doing before", "doing meanwhile"]


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
