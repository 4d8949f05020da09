"""Commands that a user of limited rights may send: every key in a command has to be the user's own."""

from operator import attrgetter
from typing import Annotated, Any

import msgspec
import pytest

from bus.contract.rights import Principal, Rights
from bus.serving.permissions import require_may_send
from domain.catalogue import VERBS
from domain.decider import Decision, Verb
from domain.errors import Forbidden
from domain.messages import Command, Key, about

SHOP = Principal(name="shop", rights=Rights(commands=("trees.*",), keys=("shop/",)))


class Node(msgspec.Struct, frozen=True):
    of: Key
    children: tuple["Node", ...] = ()


class Plant(Command, frozen=True, kw_only=True):
    id: Key
    root: Node


VERB = Verb(name="plant", command=Plant, key=attrgetter("id"), decide=lambda *_: Decision())


def test_keys_in_a_struct_within_itself_are_found():
    def send(of: str) -> None:
        inner = Node(of="shop/b", children=(Node(of=of),))
        command = Plant(id="shop/a", root=Node(of="shop/a", children=(inner,)))
        require_may_send(SHOP, "trees.plant", VERB, command)

    send("shop/c")
    with pytest.raises(Forbidden, match="bank/c is not a key of shop"):
        send("bank/c")


class Leaf(msgspec.Struct, frozen=True, tag=True):
    of: Key


class Twig(msgspec.Struct, frozen=True, tag=True):
    says: str
    leaves: dict[Key, str] = {}


class Graft(Command, frozen=True, kw_only=True):
    id: Key
    described: Annotated[Key | None, about("where it comes from")] = None
    either: Leaf | Twig | None = None
    pair: tuple[str, Key] = ("", "shop/a")
    some: frozenset[Key] = frozenset()
    one_or_more: Key | list[Key] = "shop/a"


@pytest.mark.parametrize(
    "body",
    [
        {"described": "bank/c"},
        {"either": {"type": "Leaf", "of": "bank/c"}},
        {"either": {"type": "Twig", "says": "any/thing", "leaves": {"bank/c": "any/thing"}}},
        {"pair": ["any/thing", "bank/c"]},
        {"some": ["shop/b", "bank/c"]},
        {"one_or_more": "bank/c"},
        {"one_or_more": ["bank/c"]},
    ],
)
def test_keys_are_found_wherever_a_command_may_have_them_and_nothing_else_is_one(body: dict[str, Any]):
    verb = Verb(name="graft", command=Graft, key=attrgetter("id"), decide=lambda *_: Decision())

    def send(text: str) -> None:
        changed = msgspec.json.encode(body).replace(b"bank/c", text.encode())
        require_may_send(
            SHOP, "trees.graft", verb, msgspec.convert({"id": "shop/a"} | msgspec.json.decode(changed), Graft)
        )

    send("shop/c")
    with pytest.raises(Forbidden, match="bank/c is not a key of shop"):
        send("bank/c")


class Queue(Command, frozen=True, kw_only=True):
    id: Key
    queue: Key


def test_a_field_of_somebody_elses_command_is_looked_at_whatever_it_is_called():
    verb = Verb(name="queue", command=Queue, key=attrgetter("id"), decide=lambda *_: Decision())

    with pytest.raises(Forbidden, match="bank/c is not a key of shop"):
        require_may_send(SHOP, "trees.queue", verb, Queue(id="shop/a", queue="bank/c"))


BILLING = Principal(name="billing", rights=Rights(commands=("*",), keys=("billing/",)))


def send(**body: object) -> None:
    _, verb = VERBS["jobs.enqueue"]
    command = msgspec.convert({"id": "billing/1", "type": "sync"} | body, verb.command)
    require_may_send(BILLING, "jobs.enqueue", verb, command)


def test_a_job_draws_on_a_rate_limit_of_its_users_own():
    send(budget={"platform": "billing/api", "resource": "core"})
    with pytest.raises(Forbidden, match="github:core is not a key of billing"):
        send(budget={"platform": "github", "resource": "core"})


def test_a_job_of_limited_rights_counts_for_keys_of_its_users_own():
    send(
        concurrency={"key": "billing/acme", "limit": 2},
        rate={"key": "billing/api", "limit": 2, "window_ms": 1},
    )
    send(type="billing/sync", concurrency={"limit": 2})
    with pytest.raises(Forbidden, match="acme is not a key of billing"):
        send(concurrency={"key": "acme"})
    with pytest.raises(Forbidden, match="sync is not a key of billing"):
        send(rate={"limit": 2, "window_ms": 1})
