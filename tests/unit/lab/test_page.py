"""The page and the badge of the lab say what its results say, and nothing else."""

from xml.etree import ElementTree

import pytest

from ops.lab.results import Break, Results, Run, Tried
from tests.lab import page
from tests.lab.found import FOUND
from tests.lab.results import in_short, read
from tests.support.repository import ROOT


def tried(seed: int, **said: object) -> Tried:
    given = {"trials": 2, "seconds": 90.0, "counts": {"answers": 1_200, "kills": 6}} | said
    return Tried(promise="Nothing is lost.", means="Much.", first_seed=seed, **given)  # type: ignore[arg-type]


def run(commit: str, **experiments: Tried) -> Run:
    return Run(
        began_at="2026-11-29T07:00+00:00",
        commit=commit,
        version="0.1.0",
        machine="2 × x86_64",
        experiments=experiments,
    )


def test_the_page_and_its_badge_are_what_the_results_make_of_them() -> None:
    kept = read()

    said = "write them anew: make lab ARGS=--page"
    assert page.PAGE.read_text(encoding="utf-8") == page.page(kept), said
    assert page.BADGE.read_text(encoding="utf-8") == page.badge(kept), said


def test_several_runs_add_up_in_the_words_of_the_last_one() -> None:
    results = Results(
        runs=[run("a1", cuts=tried(7), kills=tried(7)), run("b2", cuts=tried(40, counts={"answers": 34}))]
    )

    text = page.page(results)

    assert "In 2 runs, 6 trials of 2 experiments; nothing broke." in text
    assert "| Nothing is lost. (`cuts`) | Much. | 4 trials: 1,234 answers, 6 kills | none |" in text
    assert (
        "| 2026-11-29T07:00+00:00 | `a1` (0.1.0) | 2 × x86_64 | 7 | `cuts` 2 (2 min), `kills` 2 (2 min) |"
        in text
    )
    assert "6 trials, 2,434 answers" in page.badge(results)


def test_what_broke_is_told_with_the_command_that_repeats_it() -> None:
    broken = tried(7, breaks=[Break(seed=8, what="two answers\nare gone | lost")])

    results = Results(runs=[run("a1", cuts=broken)])
    text = page.page(results)

    assert "6 kills | 1 |" in text
    assert (
        "- `cuts` at `a1`, seed 8: two answers are gone / lost "
        "(`make lab ARGS='--only cuts --seed 8 --trials 1'`): **open**" in text
    )
    assert page.still_open(results) == [("cuts", 8)]
    assert "1 open breaks" in page.badge(results)


def test_a_break_that_was_judged_is_told_and_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "JUDGED", {("cuts", 8): "mended since 2026-11-30"})
    results = Results(runs=[run("a1", cuts=tried(7, breaks=[Break(seed=8, what="gone")]))])

    assert "--trials 1'`): mended since 2026-11-30" in page.page(results)
    assert "0 open breaks" in page.badge(results)


def test_a_break_is_told_in_short_and_without_folders() -> None:
    assert in_short("no /tmp/lab-7/data/x.db,\n see /root/y") == "no …/x.db, see …/y"
    assert len(in_short("long " * 1_000)) < 500


def test_what_this_machine_could_not_try_is_told() -> None:
    text = page.page(Results(runs=[run("a1", cuts=tried(7, trials=0, counts={}, lacking="no FUSE"))]))

    assert "| nothing: no FUSE | none |" in text


@pytest.mark.parametrize("runs", [[], [run("a1", cuts=tried(7))]], ids=["none", "one"])
def test_the_badge_is_a_picture(runs: list[Run]) -> None:
    picture = ElementTree.fromstring(page.badge(Results(runs=runs)))

    assert picture.tag.endswith("svg")


def test_each_defect_that_was_found_has_a_test_that_is_there() -> None:
    named = [one.test.partition("::") for one in FOUND]

    missing = [name for path, _, name in named if f"def {name}(" not in (ROOT / path).read_text("utf-8")]
    assert missing == []
    assert [one.mended for one in FOUND] == sorted(one.mended for one in FOUND)
