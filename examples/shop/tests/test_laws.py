"""The laws that hold for every aggregate, over generated commands and a real service."""

from hyperpage_client.testing.conformance import check_laws


def test_baskets_keep_the_laws() -> None:
    check_laws("baskets", aggregates="shop.basket")


def test_customers_keep_the_laws() -> None:
    # Few values: if points were as large as the schema allows, they could hardly ever be spent.
    check_laws("customers", aggregates="customers=shop.customer:Customer", values={"points": [1, 5, 20]})
