"""Places for requests under way: no address or token takes them all, and no request takes two."""

import pytest

from domain.errors import Busy
from ops.http.layers.addresses import network_of
from ops.http.layers.places import Places, Stay


def test_an_address_and_a_token_have_a_part_of_the_places() -> None:
    places = Places(4, 2)
    first, second = Stay(places, "a"), Stay(places, "a")
    first.enter()
    second.enter()
    with pytest.raises(Busy, match="of this address"):
        Stay(places, "a").enter()
    other, another = Stay(places, "b"), Stay(places, "c")
    for stay in (other, another):
        stay.enter()
        stay.is_of("billing")
    with pytest.raises(Busy, match="too many requests are under way"):
        Stay(places, "d").enter()
    first.leave()
    # A token is counted from all addresses, whether it is known before the place is taken or afterwards.
    late, early = Stay(places, "d"), Stay(places, "e")
    late.enter()
    with pytest.raises(Busy, match="of this token"):
        late.is_of("billing")
    late.leave()
    early.is_of("billing")
    with pytest.raises(Busy, match="of this token"):
        early.enter()
    assert places.taken == 3


def test_a_place_is_taken_and_given_back_once() -> None:
    places = Places(2, 2)
    stay = Stay(places, "a")
    stay.enter()
    stay.enter()
    assert places.taken == 1
    stay.leave()
    stay.leave()
    # A stay that has left takes no place again: reading the rest of a body after the answer needs none.
    stay.enter()
    assert places.taken == 0
    for _ in range(2):
        Stay(places, "a").enter()


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        ("unknown", "unknown"),
        ("x" * 100_000, "x" * 64),
    ],
)
def test_addresses_that_one_machine_may_have_count_as_one(host: str, network: str) -> None:
    assert network_of(host) == network
