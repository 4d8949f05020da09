"""Our clients do what clients must, and a client that does not is found out."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from hyperpage_client.testing.client_conformance.bench import Bench
from hyperpage_client.testing.client_conformance.cases import CASES
from hyperpage_client.testing.client_conformance.running import Trial
from tests.support.machines.typescript import compiled, needed_node
from tests.support.programs.wrong_adapter import FAULTS
from tests.support.repository import ROOT
from tests.support.services.command_line import PROGRAM, environment

PYTHON = [sys.executable, str(ROOT / "clients/python/conformance/adapter.py")]
WITHOUT_A_LOOP = [sys.executable, "-m", "conformance.sync_adapter"]
TYPESCRIPT = ROOT / "clients/typescript/conformance/adapter.mts"
WRONG = [sys.executable, "-m", "tests.support.programs.wrong_adapter"]
# The cases that find each fault; none fails for the adapter without a fault.
FOUND_BY = {
    "none": set[str](),
    "a new id for each attempt": {"a lost answer is asked for again, under the same id"},
    "an event is dropped": {"events come once and in order, behind a place"},
    "each event comes twice": {"events come once and in order, behind a place"},
    "null is sent for what is absent": {"what is absent is not sent as null"},
    "null is taken for absent": {"a value may be null itself"},
    "what was seen last counts": {"an older answer takes nothing back"},
    "no pause is made": {"a busy service is asked again, after the pause that it asks for"},
    "commands of a batch have no ids": {"each command of a batch has an id of its own"},
    "numbers are doubles": {"integers of 64 bits come back as they were"},
    "a worker that ends fails its jobs": {"a worker that ends gives its jobs back"},
}
INNOCENT = "an answer has all of its members, in their order"
FINDING = {INNOCENT}.union(*FOUND_BY.values())


def conformance(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "hyperpage_client.testing.client_conformance", *arguments],
        env=environment(HYPERPAGE=" ".join(PROGRAM), PYTHONPATH=f"{ROOT}:{ROOT / 'clients/python'}"),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def tried(*adapter: str) -> Any:
    ran = conformance("--json", "--", *adapter)
    assert ran.stdout, ran.stderr
    return json.loads(ran.stdout)


def failures(said: Any) -> list[str]:
    failed = [one for one in said["cases"] if one["status"] == "failed"]
    return [f"{one['name']}: {one['about']}: {one['expected']}, not {one['came']}" for one in failed]


def missing(said: Any) -> list[str]:
    return [one["name"] for one in said["cases"] if one["status"] == "missing"]


def test_the_python_client_does_all_that_clients_must() -> None:
    said = tried(*PYTHON)

    assert (failures(said), missing(said)) == ([], [])


# Only with `prove`: it is the client of the test before, run in a thread of its own.
@pytest.mark.prove
def test_the_python_client_without_an_event_loop_does_all_but_follow_and_work() -> None:
    said = tried(*WITHOUT_A_LOOP)

    assert failures(said) == []
    lacks = {one["group"] for one in said["cases"] if one["status"] == "missing"}
    assert lacks == {"Following the events", "Workers", "Mirrors"}


# Only with `prove`: the TypeScript client's own tests run by default.
@pytest.mark.prove
def test_the_typescript_client_does_all_but_what_it_says_it_lacks(tmp_path: Path) -> None:
    node = needed_node()
    programs = compiled(node, tmp_path, {"adapter.mts": TYPESCRIPT.read_text(encoding="utf-8")})

    said = tried(node, str(programs / "adapter.mjs"))

    assert failures(said) == []
    assert missing(said) == [
        "integers of 64 bits come back as they were",
        "one table, or one stream, is followed alone",
    ]


@pytest.mark.prove
def test_each_fault_of_an_adapter_is_found_by_the_case_that_is_about_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(HYPERPAGE=" ".join(PROGRAM)).items():
        monkeypatch.setenv(name, value)

    async def failed(fault: str, bench: Bench, stack: AsyncExitStack) -> set[str]:
        names = {INNOCENT, *FOUND_BY[fault]} if FOUND_BY[fault] else FINDING
        trial = Trial([*WRONG, fault], (bench, bench), at_once=4)
        stack.push_async_callback(trial.stop)
        outcomes = trial.outcomes([case for case in CASES if case.name in names])
        return {one.case.name async for one in outcomes if one.status == "failed"}

    async def all_of(faults: Sequence[str]) -> dict[str, set[str]]:
        async with AsyncExitStack() as stack:
            bench = Bench(tmp_path, stack)
            found = await asyncio.gather(*(failed(fault, bench, stack) for fault in faults))
            return dict(zip(faults, found, strict=True))

    assert asyncio.run(all_of([*FAULTS])) == FOUND_BY


def test_a_case_says_what_was_expected_and_what_came() -> None:
    ran = conformance("--only", "NOT SENT AS NULL", "--", *WRONG, "null is sent for what is absent")

    assert ran.returncode == 1
    name, *told, summary = ran.stdout.splitlines()
    assert name == "failed  what is absent is not sent as null"
    assert [line.split()[0] for line in told] == ["must:", "about:", "expected:", "came:"]
    assert '"code": "invalid"' in told[-1]
    assert summary == "a wrong client: 0 passed, 1 failed, 0 missing"


def test_what_keeps_cases_from_being_tried_is_said() -> None:
    deaf = conformance("--only", "is final", "--", sys.executable, "-c", "raise SystemExit('no such client')")
    nothing = conformance("--only", "no case is called so", "--", "adapter")
    nobody = conformance("--", "/no/such/adapter")

    assert [one.returncode for one in (deaf, nothing, nobody)] == [2, 2, 2]
    assert "the adapter has ended; it said: no such client" in deaf.stderr
    assert "no case has that in its name" in nothing.stderr
    assert "/no/such/adapter cannot be run" in nobody.stderr


def test_each_case_is_called_by_a_name_of_its_own_and_says_what_to_do() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert [case.name for case in CASES if not case.must.endswith(".") or case.name.endswith(".")] == []
