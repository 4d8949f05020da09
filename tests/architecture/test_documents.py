"""The paths that documents name exist, and a package that lists its modules lists all of them."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.support.repository import ROOT

PACKAGES = [
    folder.parent
    for top in ("bus", "clients", "ops", "projections")
    for folder in sorted((ROOT / top).rglob("__init__.py"))
]


def test_every_path_that_the_architecture_names_is_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    tops = "bus|clients|docs|domain|hyperpage_client|migrations|ops|projections|supply|tests"
    named = set(re.findall(rf"(?<![\w/-])(?:{tops})/[\w./-]*\w", text))

    assert len(named) > 100
    places = (ROOT, ROOT / "clients" / "python")
    assert [one for one in sorted(named) if not any((place / one).exists() for place in places)] == []

    alone = set(re.findall(r"`(\w+\.py)`", text))
    there_are = {path.name for top in tops.split("|") for path in (ROOT / top).rglob("*.py")}
    assert sorted(alone - there_are) == []


def test_each_test_that_the_threat_model_names_is_there() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\[`(test_\w+)`\]\(\.\./(tests/[\w/]+\.py)\)", text))

    assert len(named) > 60
    # A test that is named in any other form would not be checked.
    assert set(re.findall(r"\btest_\w+\b(?!\.py)", text)) == {name for name, _ in named}
    assert {name for name, path in named if f"def {name}(" not in _text_of(path)} == set()


def _text_of(path: str) -> str:
    file = ROOT / path
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def test_links_between_documents_lead_somewhere() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    for document in documents:
        for link, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)#?([^)\s]*)\)", document.read_text("utf-8")):
            target = document.parent / link if link else document
            assert target.exists(), (document.name, link)
            if anchor and target.suffix == ".md":
                assert anchor in _anchors(target.read_text(encoding="utf-8")), (document.name, link, anchor)


def _anchors(text: str) -> set[str]:
    """The anchors that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def folders(package: Path) -> set[str]:
    return {one.name for one in package.iterdir() if one.is_dir()}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_a_package_that_lists_its_modules_lists_all_of_them(package: Path) -> None:
    said = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    modules = {one.stem for one in package.glob("*.py")} - {"__init__", "__main__"}
    said = said.replace("/", " ")
    missing = {name for name in modules if not re.search(rf"\b{name}\b", said)}
    begun = Counter(re.findall(r"^ *(\w+) {2,}\S", said, re.MULTILINE))

    # A docstring of one line lists nothing.
    assert missing == set() or "\n" not in said
    strays = {name for name, times in begun.items() if times > 1 or name not in modules | folders(package)}
    assert strays == set()
