"""Tests of the customer, with the library alone."""

import pytest

from shop.customer import Customer, NotEnoughPoints


def test_points_are_earned_and_spent() -> None:
    ann = Customer(name="Ann")
    ann.earn(20)
    ann.spend(5)

    assert ann.points == 15


def test_no_more_is_spent_than_there_is() -> None:
    ann = Customer(name="Ann")

    with pytest.raises(NotEnoughPoints):
        ann.spend(1)
    assert ann.points == 0
