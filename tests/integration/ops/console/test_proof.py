"""The page of what was shown to hold."""

import re
from typing import Any

import pytest

from ops.console.pages import proof
from ops.health.monitor import Monitor
from ops.lab.results import Break, Results, Run, Tried
from tests.support.services.asking import HttpTalk
from tests.support.services.visiting import Visitor

PROOF = "/console/proof"


def run(commit: str, trials: int, *breaks: Break) -> Run:
    tried = Tried(
        promise="No answer is lost.",
        means="Power <cuts>.",
        first_seed=7,
        trials=trials,
        seconds=60.0,
        counts={"answers": 1_000 * trials},
        breaks=list(breaks),
    )
    return Run(
        began_at="2026-11-29T07:00+00:00",
        commit=commit,
        version="0.1.0",
        machine="2 × x86_64",
        experiments={"cuts": tried},
    )


def test_what_was_shown_of_the_store_is_told_once_it_was(talk: HttpTalk) -> None:
    reader = Visitor(talk, "read")
    talk.command("app_state.set", {"key": "theme", "value": "dark"})
    before = reader.page(PROOF)
    assert "no backup was restored and compared" in before

    talk.administer("backup.create", {"prove": True})
    talk.administer("projections.verify", {})

    after = reader.page(PROOF)
    assert "a store was made from a backup up to position 1, and compared" in after
    assert "from the log up to position 1" in after
    reader.waits_for(PROOF, "of 1 message compared with the log; all of them")


def test_how_far_the_chain_of_hashes_was_recomputed_is_told(
    talk: HttpTalk, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, reader = Monitor.report, Visitor(talk, "read")
    chain = {"position": 7, "whole_at": None, "problem": None}
    told: list[tuple[dict[str, Any], str]] = [
        ({}, "it is recomputed at each backup"),
        (chain, "recomputed from the store's file</small>"),
        (chain | {"whole_at": 1}, "recomputed from the store's file; all of it"),
        (chain | {"problem": "event 8 was changed"}, "event 8 was changed"),
    ]
    for state, said in told:

        def with_chain(monitor: Monitor, state: dict[str, Any] = state) -> dict[str, Any]:
            found = report(monitor)
            return found | {"store": found["store"] | {"chain": state}}

        monkeypatch.setattr(Monitor, "report", with_chain)
        assert said in reader.page(PROOF).replace("&#39;", "'")


def test_what_the_lab_has_tried_with_this_version_adds_up(
    talk: HttpTalk, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [run("a1", 2), run("b2", 3, Break(seed=9, what="an answer is gone"))]
    monkeypatch.setattr(proof, "of_this_version", lambda _: Results(runs=runs))

    page = Visitor(talk, "read").page(PROOF)

    assert "2 runs, the last one 2026-11-29T07:00+00:00 at commit <code>b2</code>" in page
    assert "No answer is lost." in page
    assert "Power &lt;cuts&gt;." in page
    assert re.search(r"5\s000 answers", page)


def test_where_no_run_was_kept_that_is_said(talk: HttpTalk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "of_this_version", lambda _: Results())

    assert "No run with this version was kept." in Visitor(talk, "read").page(PROOF)
