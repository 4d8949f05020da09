"""Tests of the basket: given events, when a command, then events or a refusal."""

from domain.given_when_then import Story, given
from shop.basket import (
    DECIDER,
    MAXIMUM_ITEMS,
    AddItem,
    CheckedOut,
    CheckOut,
    ItemAdded,
    ItemRemoved,
    Open,
    Opened,
    RemoveItem,
)

OPENED = Opened(customer="ann")
TEA = ItemAdded(article="tea", quantity=2)


def basket(*events: ItemAdded | CheckedOut) -> Story:
    return given(DECIDER, OPENED, *events)


def test_a_basket_is_opened_once() -> None:
    given(DECIDER).when(Open(id="one", customer="ann")).then(OPENED)
    basket().when(Open(id="one", customer="bob")).then_refused("already_exists")


def test_more_of_an_article_is_added_to_what_there_is() -> None:
    story = basket(TEA).when(AddItem(id="one", article="tea"))

    story.then(ItemAdded(article="tea", quantity=1))
    assert story.state_of("one").items == {"tea": 3}


def test_what_is_not_in_it_is_removed_without_an_event() -> None:
    basket(TEA).when(RemoveItem(id="one", article="tea")).then(ItemRemoved(article="tea"))
    basket().when(RemoveItem(id="one", article="tea")).then_nothing()


def test_a_basket_holds_so_many_articles() -> None:
    full = basket(*(ItemAdded(article=f"a{number}", quantity=1) for number in range(MAXIMUM_ITEMS)))

    full.when(AddItem(id="one", article="tea")).then_refused("basket_is_full")
    full.when(AddItem(id="one", article="a1")).then(ItemAdded(article="a1", quantity=1))


def test_a_basket_with_something_in_it_is_checked_out_once() -> None:
    basket().when(CheckOut(id="one")).then_refused("basket_is_empty")
    story = basket(TEA).later(1_000).when(CheckOut(id="one")).then(CheckedOut())
    assert story.state_of("one").checked_out_at == story.now
    story.when(AddItem(id="one", article="tea")).then_refused("already_checked_out")


def test_there_has_to_be_a_basket() -> None:
    given(DECIDER).when(AddItem(id="one", article="tea")).then_refused("not_found")
