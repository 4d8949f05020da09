"""The TypeScript client: compiled strictly, with programs that use it, and run against a real service."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.contract.client_types.typescript import source
from supply.typescript_client import TYPES
from tests.support.logins import LOGINS
from tests.support.machines.earlier_results import keeping_an_earlier_result
from tests.support.machines.typescript import compiled, needed_node
from tests.support.patience import wait_for
from tests.support.repository import ROOT
from tests.support.services.command_line import PROGRAM, environment, hyperpage, served_in

PROGRAMS = ROOT / "tests/support/javascript/clients"
NO_ADDRESS = (
    "the address of the nats-server is none: it is nats://HOST:PORT, or several with commas between them"
)


def test_the_types_are_those_of_the_catalogue() -> None:
    assert TYPES.read_text(encoding="utf-8") == source(), "make client"


@pytest.fixture(scope="module")
def node() -> str:
    return needed_node()


@pytest.fixture(scope="module")
def programs(node: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = {one.name: one.read_text(encoding="utf-8") for one in PROGRAMS.glob("*.mts")}
    return compiled(node, tmp_path_factory.mktemp("typescript"), sources)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with served_in(tmp_path) as folder:
        yield folder


def started(node: str, programs: Path, name: str, folder: Path, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [node, str(programs / f"{name}.mjs")],
        cwd=folder,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        text=True,
    )


def followers_of_all_and_of_a_table(node: str, programs: Path, folder: Path) -> list["subprocess.Popen[str]"]:
    return [
        started(node, programs, "follows", folder),
        started(node, programs, "follows", folder, TABLE="app_state"),
    ]


def heard(follower: "subprocess.Popen[str]", lines: int) -> str:
    """So many lines of what it says."""
    assert follower.stdout is not None
    return "".join(follower.stdout.readline() for _ in range(lines))


def test_whatever_the_client_can_do_is_done(node: str, programs: Path, folder: Path) -> None:
    with started(node, programs, "commands", folder) as program:
        said, _ = program.communicate(timeout=60)

    assert program.returncode == 0
    assert [json.loads(line) for line in said.splitlines()] == [
        ["jobs/one", ["job.enqueued.v1"], None],
        ["version_conflict", True],
        ["app_state/k-1", "app_state/k-2", "not_found"],
        [1_422, "app_state/m-1399", ["too_large", 1_420], ["not_found", 1_421]],
        ["too_large", 1_000, 1_400, True],
        ["too_large", 1_000, 20, True],
        [],
        [1_000, 1_399],
        True,
        ["k-1", "k-2"],
        ["one", "running", {"url": "a"}],
        ["completed", {"pages": 3}, 0],
        ["späte/antwort", ["app_state.deleted.v1"]],
        ["jobs/two", None],
        "not_found",
        "not_found",
        "too_large",
        True,
        "c-2",
        True,
    ]


def test_without_a_service_and_at_its_end_a_client_says_what_is_so(
    node: str, programs: Path, tmp_path: Path
) -> None:
    """The wire answers in the broker's place; the last client of all talks to nobody."""

    async def scenario() -> list[Any]:
        async with keeping_an_earlier_result(tmp_path) as url:
            program = await asyncio.create_subprocess_exec(
                node,
                str(programs / "alone.mjs"),
                env=environment(URL=url, LOGINS=json.dumps([*LOGINS])),
                stdout=asyncio.subprocess.PIPE,
            )
            said, _ = await asyncio.wait_for(program.communicate(), 60)
        return [json.loads(line) for line in said.splitlines()]

    assert asyncio.run(scenario()) == [
        ["Unreachable", "the command is stored; there was no answer within 1200 ms"],
        ["Refusal", "there is none"],
        ["NotInTime", "job one has not ended within 300 ms"],
        True,
        ["RangeError", "a worker has handlers of 1 to 100 types, not of 0"],
        ["Unreachable", "the connection is closed"],
        ["Unreachable", "the connection is closed"],
        *LOGINS.values(),
        *[["Unreachable", NO_ADDRESS]] * 5,
        [
            "Unreachable",
            "the addresses of the nats-servers have several users: a client is one at all of them",
        ],
    ]


def test_events_of_a_table_come_with_their_types_by_one_consumer(
    node: str, programs: Path, folder: Path
) -> None:
    with started(node, programs, "narrowed", folder) as program:
        said, _ = program.communicate(timeout=60)

    assert said.splitlines() == ["jobs/first mail 4", "hyperpage.job.cancelled.v1", "1 true", "0"]


def test_events_come_once_and_in_order_though_the_service_is_killed(
    node: str, programs: Path, tmp_path: Path
) -> None:
    def serve() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*PROGRAM, "serve", "--data", "data", "--nats-port", port, "--no-http"],
            cwd=tmp_path,
            env=environment(),
        )

    def set_key(key: str) -> None:
        done = hyperpage(
            "send", "app_state.set", json.dumps({"key": key, "value": 1}), "--data", tmp_path / "data"
        )
        assert done.code == 0, done.err

    def is_served() -> bool:
        return hyperpage("status", "--ready", "--data", tmp_path / "data").code == 0

    port = "0"
    service = serve()
    wait_for(is_served)
    runtime: dict[str, Any] = json.loads((tmp_path / "data/runtime.json").read_text())
    port = runtime["nats_url"].rpartition(":")[2]
    followers = followers_of_all_and_of_a_table(node, programs, tmp_path)
    try:
        for number in range(3):
            set_key(f"before-{number}")
        before = [heard(follower, 3) for follower in followers]
        service.kill()
        service.wait()
        service = serve()
        wait_for(is_served)
        for number in range(3):
            set_key(f"after-{number}")
        set_key("end")
        after = [follower.communicate(timeout=100)[0] for follower in followers]
    finally:
        for follower in followers:
            follower.kill()
        service.send_signal(signal.SIGTERM)
        service.wait(30)

    keys = [f"{when}-{number}" for when in ("before", "after") for number in range(3)]
    events = [f"1-{position} app_state/{key}\n" for position, key in enumerate([*keys, "end"], 1)]
    assert [one + rest for one, rest in zip(before, after, strict=True)] == ["".join(events)] * 2


def test_a_restore_is_followed_from_where_it_forked(node: str, programs: Path, folder: Path) -> None:
    data = folder / "data"

    def run(*command: str) -> str:
        done = hyperpage(*command, "--data", data)
        assert done.code == 0, done.err
        return done.out

    def set_key(key: str) -> None:
        run("send", "app_state.set", json.dumps({"key": key, "value": 1}))

    set_key("before")
    run("backup", "create")
    set_key("undone")
    followers = followers_of_all_and_of_a_table(node, programs, folder)
    try:
        before = [heard(follower, 2) for follower in followers]
        run("backup", "restore", "--to-position", "1", "--yes")
        set_key("after")
        set_key("end")
        after = [follower.communicate(timeout=100)[0] for follower in followers]
    finally:
        for follower in followers:
            follower.kill()

    for one, rest in zip(before, after, strict=True):
        assert (one + rest).splitlines() == [
            "1-1 app_state/before",
            "1-2 app_state/undone",
            "2-2 system/timeline",
            "2-3 app_state/after",
            "2-4 app_state/end",
        ]


def test_a_worker_does_jobs_obeys_and_gives_back_what_it_has(node: str, programs: Path, folder: Path) -> None:
    def send(verb: str, table: str = "jobs", **body: Any) -> None:
        done = hyperpage("send", f"{table}.{verb}", json.dumps(body), "--data", folder / "data")
        assert done.code == 0, done.err

    def ask(query: str, **body: Any) -> dict[str, Any]:
        said: dict[str, Any] = hyperpage(
            "query", query, json.dumps(body), "--data", folder / "data", "--json"
        ).json
        return said

    def row(job_id: str) -> dict[str, Any]:
        return ask("jobs.get", id=job_id)

    send("observe", "rate_limits", platform="github", remaining=10, limit=10)
    send("enqueue", type="add", id="add", payload={"a": 1, "b": 2}, budget={"platform": "github", "cost": 5})
    with started(node, programs, "works", folder) as worker:
        try:
            wait_for(lambda: row("add")["result"] == 3)
            assert ask("rate_limits.may_call", platform="github")["remaining"] == 7
            for kind in ("fail", "snooze", "wait"):
                send("enqueue", type=kind, id=kind)
            wait_for(lambda: row("fail")["state"] == "failed")
            assert row("fail")["error"] == "for good"
            assert "works.mjs" in row("fail")["traceback"]
            wait_for(lambda: row("snooze")["result"] == "later")
            wait_for(lambda: (row("wait")["progress"] or {}).get("note") == "half of it")
            send("cancel", id="wait")
            wait_for(lambda: row("wait")["state"] == "cancelled")
            send("enqueue", type="wait", id="left")
            wait_for(lambda: row("left")["state"] == "running")
            os.kill(worker.pid, signal.SIGTERM)
            worker.communicate(timeout=60)
        finally:
            worker.kill()

    assert worker.returncode == 0
    left = row("left")
    assert (left["state"], left["attempt"]) == ("pending", 0)
