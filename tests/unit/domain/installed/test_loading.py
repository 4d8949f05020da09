"""Aggregates are found by what packages say and by a variable, and each fault is told with its place."""

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from domain.installed.error import AggregateError
from domain.installed.loading import VARIABLE, installed
from tests.support.repository import ROOT


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that modules are imported from, which are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


def found(said: str) -> list[tuple[str, str]]:
    return [(one.decider.table, one.source) for one in installed({VARIABLE: said})]


def test_nothing_is_installed_where_nobody_says_so():
    assert found("") == []


def test_with_none_nobody_elses_is_found(package: Path):
    assert found("none") == []


def test_a_module_is_found_by_its_name_once(package: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT / "examples" / "shop")

    assert found("shop.basket, shop.basket,") == [("baskets", "shop.basket")]
    assert found("shop.basket:DECIDER") == [("baskets", "shop.basket:DECIDER")]


def test_an_installed_distribution_says_what_it_brings(package: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT / "examples" / "shop")
    metadata = package / "shop-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text("[hyperpage.aggregates]\nbaskets = shop.basket\n")

    assert found("") == [("baskets", "shop.basket (shop 1.2)")]


@pytest.mark.parametrize(
    ("content", "named", "reason"),
    [
        (None, "house.door", "ModuleNotFoundError: No module named 'house'"),
        ("1 / 0", "door", "it cannot be imported: ZeroDivisionError: division by zero"),
        ("", "door", "door has no DECIDER"),
        ("DECIDER = 5", "door", "door has no DECIDER"),
        ("", "door:Door", "door has no Door"),
        ("Door = 5", "door:Door", "Door is neither a Decider nor an Aggregate"),
    ],
)
def test_what_cannot_be_loaded_is_told(package: Path, content: str | None, named: str, reason: str):
    if content is not None:
        (package / "door.py").write_text(dedent(content))

    with pytest.raises(AggregateError) as refused:
        found(named)

    assert f"the aggregate {named} cannot be taken in: " in refused.value.message
    assert reason in refused.value.message
    assert refused.value.hint


def test_a_fault_inside_a_module_is_told_with_its_line(package: Path):
    (package / "door.py").write_text("\n\nraise RuntimeError('shut')\n")

    with pytest.raises(AggregateError, match=r"RuntimeError: shut \(.*door\.py:3\)"):
        found("door")


@pytest.mark.parametrize("more", ["queries=('stats',)", "verbs=(verb(finds=True),)"])
def test_what_our_own_have_code_for_nobody_else_has(package: Path, more: str):
    (package / "door.py").write_text(
        f"from tests.support.domain.doors import door, verb\nDECIDER = door({more})\n"
    )

    with pytest.raises(AggregateError, match="has `queries` of its own, or a verb that `finds`"):
        found("door")
