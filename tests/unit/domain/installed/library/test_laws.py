"""Laws that hold after any commands: replay, kept states, and states as values."""

from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.support.domain.adapted_story import AdaptedStory, story
from tests.support.domain.brought.accounts import Account
from tests.support.domain.brought.pages import Page

AMOUNTS = st.decimals("-99", "99", places=2).map(str)
Commands = list[tuple[str, dict[str, Any]]]
ACCOUNT_COMMANDS: st.SearchStrategy[Any] = st.one_of(
    st.tuples(
        st.just("append_transaction"), st.fixed_dictionaries({"amount": AMOUNTS, "note": st.text("ab")})
    ),
    st.tuples(st.just("set_overdraft_limit"), st.fixed_dictionaries({"limit": AMOUNTS})),
    st.tuples(st.just("close"), st.just({})),
)
PAGE_COMMANDS: st.SearchStrategy[Any] = st.one_of(
    st.tuples(st.just("update_title"), st.fixed_dictionaries({"title": st.text("ab ")})),
    st.tuples(st.just("update_body"), st.fixed_dictionaries({"body": st.text("ab ", max_size=12)})),
    st.tuples(st.just("tag"), st.fixed_dictionaries({"tags": st.lists(st.sampled_from("abc"), unique=True)})),
)


def opened() -> AdaptedStory:
    return story(Account, "accounts").when("accounts.open", id="one", full_name="Ada", email="a@b.c")


def created() -> AdaptedStory:
    return story(Page, "pages").when("pages.create", id="one", title="", slug="s")


def lived_through(told: AdaptedStory, commands: Commands) -> None:
    """Each command, with the laws that hold around it."""
    decider = told.brought.decider
    for verb, body in commands:
        before = told.state(told.table)
        text = msgspec.json.encode(before)
        told.later(1).when(f"{told.table}.{verb}", id="one", **body)

        assert msgspec.json.encode(before) == text, "a state was changed in place"
        # A state that was kept stands for the events before it.
        kept = msgspec.json.decode(text, type=decider.state)
        for recorded in told.streams[told.table, "one"][before.version :]:
            kept = decider.evolve(kept, recorded)
        assert kept == told.state(told.table)
    assert told.replayed() == told.state(told.table)
    assert told.brought.row(told.replayed(), 1, 1) == told.brought.row(told.state(told.table), 1, 1)


@given(st.lists(ACCOUNT_COMMANDS, max_size=8))
def test_accounts_are_what_their_events_make_of_them(commands: Commands):
    accounts = opened()

    lived_through(accounts, commands)

    amounts = [getattr(one.event, "amount", Decimal(0)) for one in accounts.streams[accounts.table, "one"]]
    assert Decimal(accounts.row()["balance"]) == sum(amounts)


@given(st.lists(PAGE_COMMANDS, max_size=8))
def test_pages_are_what_their_events_make_of_them(commands: Commands):
    lived_through(created(), commands)
