"""The laws, over generated commands and a real service: own aggregates keep them, and breaks are found."""

import random
import sys
from pathlib import Path
from typing import Any

import pytest

from hyperpage_client.testing.conformance import LawBroken, Report, check_laws
from hyperpage_client.testing.conformance.broken import Law
from hyperpage_client.testing.conformance.checking import Trial
from hyperpage_client.testing.conformance.program import main
from tests.support.repository import ROOT

WRONG = "tests.support.domain.wrong"


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPERPAGE", f"{sys.executable} -m ops.cli")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


OURS: dict[str, dict[str, list[Any]]] = {
    "app_state": {},
    "tool_configs": {},
    # Some fields exclude each other, or are always refused, which no schema says.
    "schedules": {
        "cron": ["0 3 * * *", "*/5 * * * *"],
        "every_ms": [None],
        "time_zone": ["UTC"],
        "payload": [None, {"page": 1}],
        "identifier": [None],
        "retry": [None, {"delays_ms": [0, 60_000]}, {"base_ms": 100, "factor": 2, "cap_ms": 1_000}],
    },
}


@pytest.mark.parametrize(
    "table",
    ["tool_configs", *(pytest.param(one, marks=pytest.mark.prove) for one in ("app_state", "schedules"))],
)
def test_our_own_aggregates_keep_the_laws(table: str):
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")

    report = check_laws(table, seed=seed, values=OURS[table])

    assert all(counts["accepted"] for counts in report.tallies.values())
    # Some commands are about the same aggregate.
    assert sum(sum(counts.values()) for counts in report.tallies.values()) >= 120


@pytest.mark.parametrize(
    ("table", "law"), [("dice", "rebuilt"), pytest.param("tellers", "rebuilt", marks=pytest.mark.prove)]
)
def test_what_replays_to_something_else_is_found(tmp_path: Path, table: str, law: Law):
    trial = Trial(table=table, aggregates=f"{WRONG}.{table}")

    with pytest.raises(LawBroken) as broken:
        trial.run(1, 24, tmp_path)

    assert broken.value.law == law
    assert "expected" in broken.value.seen


@pytest.mark.prove
def test_a_rule_that_is_not_declared_is_found_with_the_shortest_history(capsys: pytest.CaptureFixture[str]):
    code = main(["secrets", "--aggregates", f"{WRONG}.secrets", "--seed", "5"])

    said = capsys.readouterr().err
    assert code == 1
    assert "broken: declared" in said
    assert "refused by the rule told_too_often" in said
    [again] = [line for line in said.splitlines() if "--seed 5 --commands" in line]
    # The law breaks with the fourth command to one of the three, so after ten commands at the latest.
    assert 4 <= int(again.split("--commands ")[1].split()[0]) <= 10
    # The printed command line breaks the same law again.
    assert main([*again.split("conformance ")[1].split()]) == 1


def test_a_verb_that_was_never_accepted_is_no_proof():
    report = Report(
        table="app_state", seed=1, tallies={"app_state.set": {"accepted": 1}, "app_state.delete": {}}
    )

    with pytest.raises(LawBroken, match=r"app_state\.delete: never accepted"):
        Trial(table="app_state").require_tried(report)
    Trial(table="app_state", never_accepted=frozenset({"delete"})).require_tried(report)


def test_a_table_that_there_is_not_cannot_be_tried(capsys: pytest.CaptureFixture[str]):
    assert main(["nothing", "--commands", "2"]) == 2
    assert "the service has no table nothing" in capsys.readouterr().err
