"""The laws that hold for every aggregate, over generated commands and a real service."""

import pytest

from hyperpage_client.testing.conformance import check_laws


@pytest.mark.parametrize(
    ("table", "aggregates"),
    [("baskets", "shop.basket"), ("customers", "customers=shop.customer:Customer")],
)
def test_the_laws_hold(table: str, aggregates: str) -> None:
    check_laws(table, aggregates=aggregates)
