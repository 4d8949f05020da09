"""What the documents say of the tree is there: paths, and the modules of each package."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.support.repository import ROOT

PACKAGES = [folder.parent for top in ("bus", "ops") for folder in sorted((ROOT / top).rglob("__init__.py"))]


def test_every_path_that_the_architecture_names_is_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:bus|docs|domain|migrations|ops|projections|tests)/[\w./-]*\w", text))

    assert len(named) > 40
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


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
