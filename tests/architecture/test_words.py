"""The messages that users get when something fails: what is wrong, what that means, and what to do."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from typing import TypeGuard

import apsw
import msgspec
import pytest

from domain.errors import Behind, Refusal, RuleViolated
from migrations.sqlite_words import words_of
from ops.cli.terminal.exits import usage_failure
from ops.settings import Settings
from ops.store.troubles import hint_of, message_of
from ops.targets.errors import UNUSABLE, BackupError
from tests.support.documents.command_lines import known_commands, unknown_in
from tests.support.repository import ROOT

PRODUCT = ("bus", "clients", "domain", "migrations", "ops", "projections")
SOURCES = [path for top in PRODUCT for path in sorted((ROOT / top).rglob("*.py"))]
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "ops" / "deploy").iterdir()]
# Failures for which a retry is useless: something has to be changed first.
FOR_GOOD = {
    "Invalid",
    "Forbidden",
    "NotFound",
    "AlreadyExists",
    "CommandIdReused",
    "TooLarge",
    "SecretRejected",
    "MethodNotAllowed",
    "UnsupportedMediaType",
    "usage_failure",
    "SettingsError",
}
HINTS = ("hint", "repair")
# Their constructors ask for a hint, or make one. An error that a client raises has the hint of the service.
HAS_ITS_OWN = {RuleViolated, Behind}
CLIENT = "bus.client"


@cache
def nodes() -> list[tuple[str, ast.AST]]:
    """The nodes of the product that these tests look at, collected once, when the first of them runs."""
    kinds = ast.Call | ast.Constant | ast.JoinedStr | ast.ExceptHandler | ast.ClassDef | FUNCTION
    return [
        (path.relative_to(ROOT).as_posix(), node)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, kinds)
    ]


def name_of(node: ast.expr) -> str:
    """The last part of a name; "": it is none."""
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def calls() -> Iterator[tuple[str, ast.Call, str]]:
    for path, node in nodes():
        if isinstance(node, ast.Call):
            yield f"{path}:{node.lineno}", node, name_of(node.func)


def text_of(node: ast.AST) -> str | None:
    """The text that a node stands for, with `…` for each inserted value; `None` if it stands for none."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(text_of(each) or "…" for each in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            both = text_of(left), text_of(right)
            return None if both == (None, None) else "".join(each or "…" for each in both)
    return None


def positions() -> dict[str, set[int]]:
    """The positions of a hint among the arguments, by function or class; subclasses inherit theirs."""
    found: dict[str, set[int]] = {}
    bases: dict[str, list[str]] = {}
    for _, node in nodes():
        names: list[str] = []
        if isinstance(node, ast.ClassDef):
            bases[node.name] = [name_of(base) for base in node.bases]
            for one in node.body:
                if isinstance(one, ast.FunctionDef) and one.name == "__init__":
                    names = [each.arg for each in one.args.args[1:]]
        elif isinstance(node, FUNCTION):
            names = [each.arg for each in node.args.args]
        else:
            continue
        found.setdefault(node.name, set()).update(names.index(each) for each in HINTS if each in names)
    # A struct takes its fields in their order.
    found["Cause"] = {3}
    while True:
        heirs = {
            name: found[base]
            for name, above in bases.items()
            for base in above
            if not found[name] and found.get(base)
        }
        if not heirs:
            return found
        found |= heirs


def hints() -> Iterator[tuple[str, str, ast.expr]]:
    """Each hint that is passed as an argument: the place, the name of what is called, and the argument."""
    takers = positions()
    for where, call, name in calls():
        for keyword in call.keywords:
            if keyword.arg in HINTS:
                yield where, name, keyword.value
        for place in takers.get(name, ()):
            if place < len(call.args) and not any(isinstance(one, ast.Starred) for one in call.args):
                yield where, name, call.args[place]


@pytest.fixture(scope="module", name="said")
def all_hints() -> list[tuple[str, str, ast.expr]]:
    return list(hints())


def test_no_hint_that_is_written_somewhere_is_empty(said: list[tuple[str, str, ast.expr]]):
    found = [(where, text_of(value)) for where, _, value in said]
    assert len(found) > 300
    assert [where for where, text in found if text is not None and len(text.split()) < 2] == []
    # No hint has an empty fallback either, except in findings of `doctor`, which may be about healthy parts.
    wanting = [
        where
        for where, name, value in said
        if name != "DoctorFinding"
        for each in ast.walk(value)
        if isinstance(each, ast.Constant) and each.value == ""
    ]
    assert wanting == []


def test_a_hint_is_left_out_only_where_there_is_a_usual_one():
    left_out = set()
    for path, node in nodes():
        if isinstance(node, ast.ClassDef):
            made = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
            left_out |= {node.name for one in made if _has_an_empty_hint(one)}
        elif isinstance(node, FUNCTION) and node.name != "__init__" and _has_an_empty_hint(node):
            left_out.add(f"{path}:{node.name}")
    # The `repair` of `Search` is no hint; a `JetStreamError` has one only where an operator can do something.
    assert left_out == {"Refusal", "BackupError", "Unreachable", "Search", "JetStreamError"}


def _has_an_empty_hint(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    arguments, defaults = node.args, node.args.defaults
    in_order = [*arguments.posonlyargs, *arguments.args]
    at_the_end = in_order[len(in_order) - len(defaults) :]
    both = (
        *zip(at_the_end, defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    )
    return any(
        each.arg in HINTS and isinstance(default, ast.Constant) and not default.value
        for each, default in both
    )


def kinds(of: type[Refusal]) -> Iterator[type[Refusal]]:
    for each in of.__subclasses__():
        if each.__module__ != CLIENT:
            yield each
        yield from kinds(each)


def test_each_code_has_something_to_do_about_it():
    for kind in {*kinds(Refusal)} - HAS_ITS_OWN:
        assert kind.usual_hint != Refusal.usual_hint, kind
    for reason in {*UNUSABLE, *re.findall(r"`(\w+)`", BackupError.__doc__ or "")}:
        assert len(BackupError(reason, "it").hint.split()) > 3, reason
    assert usage_failure("it").hint


def test_nobody_is_told_to_try_again_what_never_succeeds(said: list[tuple[str, str, ast.expr]]):
    again = re.compile(r"^(?:try|ask|wait|send it) again|\btry again\b")
    found = [
        (where, text)
        for where, name, value in said
        if name in FOR_GOOD and (text := text_of(value)) is not None and again.search(text)
    ]
    assert found == []


def test_no_text_misleads():
    # A file may be the only copy; and SQLite can say "not an error" when a disk is full.
    wrong = re.compile(
        r"\b(?:may|can) be (?:deleted|removed|ignored)\b|\bnot an error\b|\bshould never happen\b"
    )
    found = [
        (path, node.value)
        for path, node in nodes()
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and wrong.search(node.value)
    ]
    # Texts of several lines are docstrings, which users never see.
    assert [
        (path, text) for path, text in found if path != "migrations/sqlite_words.py" and "\n" not in text
    ] == []


def test_what_sqlite_says_is_never_repeated_unseen():
    raw = [
        f"{path}:{each.lineno}"
        for path, node in nodes()
        if isinstance(node, ast.ExceptHandler) and node.type is not None and node.name is not None
        if re.search(r"\bapsw\.|\bUNREADABLE\b", ast.unparse(node.type))
        for each in ast.walk(node)
        if _repeats(each, node.name)
    ]
    assert raw == []


def _repeats(node: ast.AST, name: str) -> TypeGuard[ast.expr]:
    match node:
        case (
            ast.FormattedValue(value=ast.Name(id=said))
            | ast.Call(func=ast.Name("str"), args=[ast.Name(id=said)])
        ):
            return said == name
    return False


@pytest.mark.parametrize(
    "kind", [apsw.FullError, apsw.IOError, apsw.BusyError, apsw.CorruptError, apsw.SQLError]
)
def test_an_error_of_sqlite_says_what_is_wrong_and_what_to_do(kind: type[apsw.Error]):
    for said in ("", "not an error", "SQLITE_FULL: not an error"):
        assert "not an error" not in message_of(kind(said))
        assert len(words_of(kind(said)).split()) > 1
    assert len(hint_of(kind("not an error")).split()) > 4


def written() -> Iterator[tuple[str, str]]:
    """Every text in the product, whole, and every document."""
    for path, node in nodes():
        if (text := text_of(node)) is not None and "yperpage" in text.lower():
            yield f"{path}:{getattr(node, 'lineno', 0)}", text
    for document in DOCUMENTS:
        if document.is_file():
            yield document.name, document.read_text("utf-8")
    for template in sorted((ROOT / "ops" / "console" / "templates").rglob("*.html")):
        yield template.name, re.sub(r"<code>(hyperpage [^<]+)</code>", r"`\1`", template.read_text("utf-8"))


def test_every_command_that_somebody_is_told_to_type_is_there():
    commands = known_commands()
    wrong = ["hyperpage bakcup list", "hyperpage backup lsit", "hyperpage backup restore --lastest"]
    assert [*unknown_in("; ".join(f"`{one}`" for one in wrong), commands)] == wrong
    assert [
        *unknown_in("`hyperpage backup restore --latest --yes`; `hyperpage COMMAND --help`", commands)
    ] == []
    assert [(where, said) for where, text in written() for said in unknown_in(text, commands)] == []


def test_every_setting_that_somebody_is_told_to_change_is_there():
    known = {f"HYPERPAGE_{field.name.upper()}" for field in msgspec.structs.fields(Settings)}
    # Variables that say where settings are read from, and those of the broker's and the containers' files.
    known |= {f"HYPERPAGE_{name}" for name in ("CONFIG", "CONSOLE_LINK", "S3_ENDPOINT")}
    known |= {f"HYPERPAGE_NATS_{name}" for name in ("NAME", "PASSWORD", "IMAGE")}
    known |= {f"HYPERPAGE_{name}" for name in ("PUBLISH_HTTP", "PUBLISH_NATS", "TEST_NATS_IMAGE")}
    # Streams.
    known |= {f"HYPERPAGE_{name}" for name in ("COMMANDS", "DLQ", "EVENTS", "LOG", "RESULTS")}
    found = {
        (where, name)
        for where, text in written()
        for name in re.findall(r"\bHYPERPAGE_[A-Z0-9_]*[A-Z0-9]\b(?!_?[…*])", text)
        if name not in known
    }
    assert found == set()
