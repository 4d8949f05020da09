"""Checks of the domain's purity that an import contract cannot make: no clock is read, nothing is opened."""

import ast
from collections.abc import Iterator

import pytest

from tests.support.repository import ROOT

DOMAIN = ROOT / "domain"
# By module that only `domain.installed.library` may import: the names that it may use. No clock, no chance.
OF_THE_LIBRARY = {
    "eventsourcing.domain": {
        "Aggregate",
        "CanInitAggregate",
        "CanMutateAggregate",
        "CommandMethodDecorator",
    },
    "eventsourcing.utils": {"get_topic"},
    "uuid": {"NAMESPACE_URL", "UUID", "uuid5"},
}
CLOCK_READINGS = {"now", "today", "utcnow"}
BUILT_IN_EFFECTS = {"__import__", "breakpoint", "eval", "exec", "input", "open", "print"}


def test_the_domain_neither_reads_a_clock_nor_touches_the_outside():
    found = [
        f"{module.relative_to(DOMAIN.parent)}:{line}: {what}"
        for module in sorted(DOMAIN.rglob("*.py"))
        for line, what in impure_calls(module.read_text(encoding="utf-8"))
    ]

    assert found == []


def test_of_the_library_and_of_uuids_it_has_names_that_neither_read_a_clock_nor_leave_to_chance():
    found = [
        (module.relative_to(DOMAIN.parent).as_posix(), top, name)
        for module in sorted(DOMAIN.rglob("*.py"))
        for top, name in imported(module.read_text(encoding="utf-8"))
        if top.partition(".")[0] in ("eventsourcing", "uuid")
        if name not in OF_THE_LIBRARY.get(top, ())
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


def imported(source: str) -> Iterator[tuple[str, str]]:
    """The module and the name of each import; no name where it is the module itself."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((one.name, "") for one in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield from ((module, one.name) for one in names)


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
