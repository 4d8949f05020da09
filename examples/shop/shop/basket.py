"""A customer's basket: opened, filled, and checked out.

absent --open--> open --add_item, remove_item--> open --check_out--> checked out
"""

from collections.abc import Iterator
from operator import attrgetter
from random import Random
from typing import Annotated, Any, Literal

import msgspec

from domain.decider import Context, Decider, Decision, Verb
from domain.errors import AlreadyExists, NotFound, RuleViolated
from domain.messages import Command, Event, Key, Name, Recorded
from projections.derived import table_of

MAXIMUM_ITEMS = 100

# No `Key`: a `Key` is that of an aggregate, and a user with limited rights may name only keys of its own.
Article = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Quantity = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class Open(Command, frozen=True, kw_only=True):
    """A new basket of a customer."""

    id: Key
    customer: Name


class AddItem(Command, frozen=True, kw_only=True):
    """So many of an article more."""

    id: Key
    article: Article
    quantity: Quantity = 1


class RemoveItem(Command, frozen=True, kw_only=True):
    """None of an article any more."""

    id: Key
    article: Article


class CheckOut(Command, frozen=True, kw_only=True):
    """The customer buys what is in it."""

    id: Key


class Opened(Event, frozen=True, kw_only=True):
    customer: str


class ItemAdded(Event, frozen=True, kw_only=True):
    article: str
    quantity: int


class ItemRemoved(Event, frozen=True, kw_only=True):
    article: str


class CheckedOut(Event, frozen=True, kw_only=True):
    pass


class Basket(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer is about to buy, or has bought: so many of each article."""

    id: str
    customer: str
    state: Literal["open", "checked_out"] = "open"
    items: dict[str, int] = {}
    opened_at: int
    checked_out_at: int | None = None


def _open(state: Basket | None, command: Open, context: Context, key: str) -> Decision:
    if state is not None:
        raise AlreadyExists(f"there is a basket {key} already")
    return Decision(events=((key, Opened(customer=command.customer)),))


def _add_item(state: Basket | None, command: AddItem, context: Context, key: str) -> Decision:
    basket = _still_open(state, key)
    if command.article not in basket.items and len(basket.items) == MAXIMUM_ITEMS:
        raise RuleViolated(
            "basket_is_full", f"a basket holds {MAXIMUM_ITEMS} articles", hint="take one out first"
        )
    return Decision(events=((key, ItemAdded(article=command.article, quantity=command.quantity)),))


def _remove_item(state: Basket | None, command: RemoveItem, context: Context, key: str) -> Decision:
    basket = _still_open(state, key)
    # Nothing changes, so there is no event: the command is accepted.
    if command.article not in basket.items:
        return Decision()
    return Decision(events=((key, ItemRemoved(article=command.article)),))


def _check_out(state: Basket | None, command: CheckOut, context: Context, key: str) -> Decision:
    basket = _still_open(state, key)
    if not basket.items:
        raise RuleViolated("basket_is_empty", "there is nothing in the basket", hint="add an article first")
    return Decision(events=((key, CheckedOut()),))


def _still_open(state: Basket | None, key: str) -> Basket:
    if state is None:
        raise NotFound(f"there is no basket {key}")
    if state.state != "open":
        raise RuleViolated("already_checked_out", f"basket {key} is checked out", hint="open another one")
    return state


def evolve(state: Basket | None, recorded: Recorded) -> Basket:
    """The basket after an event."""
    match recorded.event:
        case Opened(customer=customer):
            return Basket(id=recorded.key, customer=customer, opened_at=recorded.recorded_at)
        case ItemAdded(article=article, quantity=quantity):
            items = {**_known(state).items}
            items[article] = items.get(article, 0) + quantity
            return msgspec.structs.replace(_known(state), items=items)
        case ItemRemoved(article=article):
            items = {name: count for name, count in _known(state).items.items() if name != article}
            return msgspec.structs.replace(_known(state), items=items)
        case CheckedOut():
            return msgspec.structs.replace(
                _known(state), state="checked_out", checked_out_at=recorded.recorded_at
            )
        case event:
            raise TypeError(f"not an event of a basket: {type(event).__name__}")


def _known(state: Basket | None) -> Basket:
    assert state is not None, "the first event of a basket is that it was opened"
    return state


_id = attrgetter("id")

DECIDER = Decider(
    table="baskets",
    state=Basket,
    evolve=evolve,
    events={
        "basket.opened.v1": Opened,
        "basket.item_added.v1": ItemAdded,
        "basket.item_removed.v1": ItemRemoved,
        "basket.checked_out.v1": CheckedOut,
    },
    verbs=(
        Verb(
            name="open",
            method="POST",
            command=Open,
            key=_id,
            decide=_open,
            events=(Opened,),
            refusals=(AlreadyExists,),
        ),
        Verb(
            name="add_item",
            command=AddItem,
            key=_id,
            decide=_add_item,
            events=(ItemAdded,),
            refusals=(NotFound,),
            rules=("already_checked_out", "basket_is_full"),
        ),
        Verb(
            name="remove_item",
            command=RemoveItem,
            key=_id,
            decide=_remove_item,
            events=(ItemRemoved,),
            refusals=(NotFound,),
            rules=("already_checked_out",),
        ),
        Verb(
            name="check_out",
            command=CheckOut,
            key=_id,
            decide=_check_out,
            events=(CheckedOut,),
            refusals=(NotFound,),
            rules=("already_checked_out", "basket_is_empty"),
        ),
    ),
)

TABLE = table_of(DECIDER, filters=("customer", "state"))


def demo(random: Random) -> Iterator[tuple[str, dict[str, Any]]]:
    """The commands of a customer who fills a basket and, most often, buys it: for `serve --demo`."""
    basket = {"id": f"basket-{random.getrandbits(40):010x}"}
    yield "open", {**basket, "customer": random.choice(("ann", "bob", "eve"))}
    for article in random.sample(("apple", "bread", "coffee", "tea"), k=random.randint(1, 4)):
        yield "add_item", {**basket, "article": article, "quantity": random.randint(1, 5)}
    if random.random() < 0.7:
        yield "check_out", basket


DEMO = demo
