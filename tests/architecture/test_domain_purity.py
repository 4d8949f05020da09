"""What the import contract cannot see of the domain's purity: asking an allowed module for the time, say."""

import ast
from collections.abc import Iterator

import pytest

from tests.support.repository import ROOT

DOMAIN = ROOT / "domain"
CLOCK_READINGS = {"now", "today", "utcnow"}
BUILT_IN_EFFECTS = {"__import__", "breakpoint", "eval", "exec", "input", "open", "print"}


def test_the_domain_neither_reads_a_clock_nor_touches_the_outside():
    found = [
        f"{module.relative_to(DOMAIN.parent)}:{line}: {what}"
        for module in sorted(DOMAIN.rglob("*.py"))
        for line, what in impure_calls(module.read_text(encoding="utf-8"))
    ]

    assert found == []


@pytest.mark.parametrize(
    "source",
    ["datetime.now(UTC)", "datetime.datetime.utcnow()", "date.today()", "open('x')", "print(1)"],
)
def test_an_impure_call_is_found(source: str):
    assert list(impure_calls(source))


@pytest.mark.parametrize("source", ["context.now", "context.now + 1", "reopen()", "door.open()"])
def test_a_time_that_was_passed_in_is_fine(source: str):
    assert not list(impure_calls(source))


def impure_calls(source: str) -> Iterator[tuple[int, str]]:
    """The line and the text of each call in `source` that has an effect or reads a clock.

    The time is an attribute of the context and never a method, so every call of a `now` is a clock's.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr=name)) if name in CLOCK_READINGS:
                yield node.lineno, ast.unparse(node)
            case ast.Call(func=ast.Name(id=name)) if name in BUILT_IN_EFFECTS:
                yield node.lineno, ast.unparse(node)
