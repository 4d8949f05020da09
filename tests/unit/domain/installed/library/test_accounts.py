"""Accounts, as the library's documentation has them: explicit events, and exceptions that say no."""

import msgspec
import pytest

from tests.support.domain.adapted_story import AdaptedStory, story
from tests.support.domain.brought.accounts import Account


@pytest.fixture(name="accounts")
def one_account() -> AdaptedStory:
    opened = story(Account, "accounts")
    return opened.happened("account.opened.v1", full_name="Ada", email="ada@example.org")


def test_a_class_method_that_creates_is_the_verb_and_gets_the_key_for_its_id():
    accounts = story(Account, "accounts").when("accounts.open", full_name="Ada", email="ada@example.org")

    accounts.then_told("account.opened.v1", full_name="Ada", email="ada@example.org")
    assert accounts.state("accounts", "id-1").key == "id-1"
    assert "accounts.create" not in accounts.verbs


def test_a_method_that_triggers_an_event_is_a_verb(accounts: AdaptedStory):
    accounts.when("accounts.append_transaction", id="one", amount="12.50")

    accounts.then_told("account.transaction_appended.v1", amount="12.50", note="")
    assert accounts.row()["balance"] == "12.50"


def test_amounts_stay_decimal_to_the_last_digit(accounts: AdaptedStory):
    for _ in range(3):
        accounts.when("accounts.append_transaction", id="one", amount="0.10")

    assert accounts.row()["balance"] == "0.30"
    assert accounts.replayed() == accounts.state("accounts")


def test_an_exception_of_the_class_is_a_refusal(accounts: AdaptedStory):
    accounts.when("accounts.append_transaction", id="one", amount="-1").then_refused(
        "refused", rule="insufficient_funds_error"
    )
    assert accounts.refusal is not None
    assert accounts.refusal.message.startswith("insufficient funds error: {'balance': Decimal('0.00')")

    accounts.when("accounts.close", id="one")
    accounts.when("accounts.append_transaction", id="one", amount="1").then_refused(
        "refused", rule="account_closed_error"
    )
    assert accounts.refusal.message == "the rules of this account do not allow it"


def test_an_assertion_is_a_refusal(accounts: AdaptedStory):
    accounts.when("accounts.set_overdraft_limit", id="one", limit="-1").then_refused(
        "refused", rule="assertion_error"
    )
    assert accounts.refusal is not None
    assert accounts.refusal.message == "a limit is not below zero"


def test_a_refusal_changes_nothing(accounts: AdaptedStory):
    before = accounts.state("accounts")

    accounts.when("accounts.append_transaction", id="one", amount="-1")

    assert accounts.state("accounts") is before


def test_a_verb_says_what_it_can_lead_to(accounts: AdaptedStory):
    verbs = {verb.name: verb for verb in accounts.brought.decider.verbs}

    assert [event.__name__ for event in verbs["append_transaction"].events] == ["TransactionAppended"]
    assert verbs["append_transaction"].rules == (
        "account_closed_error",
        "assertion_error",
        "insufficient_funds_error",
        "value_error",
    )
    assert set(verbs) == {"open", "append_transaction", "set_overdraft_limit", "close"}


def test_types_that_nobody_annotated_are_told_by_what_is_assigned(accounts: AdaptedStory):
    types = {field.name: field.type for field in msgspec.structs.fields(accounts.brought.row_shape)}

    assert (types["is_closed"], types["full_name"]) == (bool, str)
    assert accounts.row()["is_closed"] == 0
