"""Only the client's `transport` touches what is private in nats-py, so a new version breaks one folder."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from hyperpage_client.transport.connection import LeanClient
from tests.support.repository import ROOT

CLIENT = ROOT / "clients/python/hyperpage_client"
TRANSPORT = CLIENT / "transport"
# Modules of nats-py that have public names, but are no part of its interface.
INNER_MODULES = ("nats.aio.transport", "nats.protocol")
# The private attributes of any client of nats-py, and the private names of our `LeanClient`.
PRIVATE = {name for name in (*vars(Client()), *dir(LeanClient)) if name.startswith("_") and name[1] != "_"}


def product() -> Iterator[Path]:
    for package in ("bus", "domain", "migrations", "ops", "projections"):
        yield from (ROOT / package).rglob("*.py")
    yield from CLIENT.rglob("*.py")


def touched(source: str) -> list[str]:
    """The private parts of nats-py that a source touches."""
    tree = ast.parse(source)
    of_nats: set[str] = set()
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "nats":
            of_nats |= {alias.asname or alias.name for alias in node.names}
            found += [alias.name for alias in node.names if alias.name.startswith("_")]
            found += [node.module or "" for module in INNER_MODULES if (node.module or "").startswith(module)]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith(INNER_MODULES)]
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            found += [base.id for base in node.bases if isinstance(base, ast.Name) and base.id in of_nats]
        elif isinstance(node, ast.Attribute) and node.attr in PRIVATE:
            # A name on `self` or `cls` belongs to our own class, even if nats-py uses the same one.
            is_own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            found += [] if is_own else [node.attr]
    return found


def test_nobody_but_transport_touches_private_parts_of_nats_py():
    elsewhere = [path for path in product() if not path.is_relative_to(TRANSPORT)]

    assert {path: parts for path in elsewhere if (parts := touched(path.read_text()))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "from nats.aio.client import _validate_subject",
        "from nats.protocol.parser import Parser",
        "import nats.aio.transport",
        "from nats.aio.client import Client\nclass Mine(Client): ...",
        "connection._flush_pending()",
    ],
)
def test_a_private_part_is_noticed(source: str):
    assert touched(source)


def test_what_is_said_to_be_private_is_used_by_transport():
    assert any(touched(path.read_text()) for path in TRANSPORT.glob("*.py"))
