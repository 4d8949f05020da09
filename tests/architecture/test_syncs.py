"""Each line that syncs is known to the lab, which takes it away and looks whether anything breaks."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.lab.cuts.mutants import NOT_PLAYED, PLAYED
from tests.support.repository import ROOT

ROOMS = ("bus", "clients", "domain", "migrations", "ops", "projections")


def syncing_functions() -> Iterator[str]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            # Parsing every module would take two seconds.
            if "fsync" not in text and "fdatasync" not in text:
                continue
            for function in ast.walk(ast.parse(text)):
                if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and any(
                    isinstance(call, ast.Attribute) and call.attr in ("fsync", "fdatasync")
                    for call in ast.walk(function)
                ):
                    yield f"{Path(path).relative_to(ROOT)} {function.name}"


def test_the_lab_knows_every_line_that_syncs() -> None:
    """A new line that syncs is recorded by `tests/lab/cuts`, or listed with the reason why it is not."""
    assert set(syncing_functions()) == PLAYED | NOT_PLAYED.keys()
