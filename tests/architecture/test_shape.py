"""The shape of the tree: short files and functions, small folders, tests that mirror what they test."""

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from tests.support.repository import ROOT

PRODUCT = ("bus", "clients", "domain", "migrations", "ops", "projections")
# Folders of tests that belong to no single package.
FLAT = {"architecture", "benchmarks", "lab", "support"}
LONGEST_FILE, LONGEST_FUNCTION, MOST_FILES = 400, 60, 20
# In the first line of a generated module, whose length depends on its source.
MADE = "Made by `make client`."


def sources(*folders: str, kinds: Sequence[str] = ("py",)) -> Iterator[Path]:
    """The modules below these folders, or sources of other kinds, each by its path in the repository."""
    for folder, kind in product(folders, kinds):
        for path in (ROOT / folder).rglob(f"*.{kind}"):
            yield path.relative_to(ROOT)


def written() -> Iterator[Path]:
    """The modules of the product that are written by hand, not generated."""
    for path in sources(*PRODUCT):
        if MADE not in (ROOT / path).read_text().partition("\n")[0]:
            yield path


def imported(tree: ast.AST) -> Iterator[str]:
    """The full name of everything that a module imports, also within functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def functions_of(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The functions of a module, also those within others, and how many lines each has."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def parsed(path: Path) -> ast.AST:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def test_no_test_module_imports_another():
    found = {
        str(path): name
        for path in sources("tests")
        for name in imported(parsed(path))
        if name.startswith("tests.") and any(part.startswith("test_") for part in name.split("."))
    }
    assert found == {}


def test_tests_are_in_a_folder_like_that_of_what_they_test():
    rooms = {path.parent for path in sources("tests") if path.parts[1] not in FLAT and len(path.parts) > 3}
    # The folders below `tests` count, too: the lab has tests of its own.
    tops = (ROOT, ROOT / "tests", ROOT / "clients/python")
    lost = [str(room) for room in rooms if not any(top.joinpath(*room.parts[2:]).is_dir() for top in tops)]
    assert lost == []
    loose = [str(path) for path in sources("tests") if len(path.parts) == 3 and path.name.startswith("test_")]
    assert {Path(path).parts[1] for path in loose} <= FLAT, loose


def test_a_folder_is_seen_at_a_glance():
    counts = Counter(
        str(path.parent)
        for path in sources(*PRODUCT, "tests", "docs", kinds=("py", "html", "sql", "css", "js"))
        # A migration is one thing in two files.
        if not path.name.endswith(".down.sql")
    )
    assert {folder: count for folder, count in counts.items() if count > MOST_FILES} == {}


def test_no_file_of_the_product_is_long():
    lengths = {str(path): len((ROOT / path).read_text().splitlines()) for path in written()}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_function_of_the_product_is_long():
    found = {
        f"{path}: {name}": length
        for path in written()
        for name, length in functions_of(parsed(path))
        if length > LONGEST_FUNCTION
    }
    assert found == {}
