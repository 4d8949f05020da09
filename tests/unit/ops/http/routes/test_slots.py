"""The streams that may be open at once: the holder of the most gives one up to a holder of fewer."""

import pytest

from domain.errors import Busy
from ops.http.routes.streaming import Slots


def test_when_all_are_taken_whoever_has_most_gives_up_the_oldest() -> None:
    ended: list[str] = []
    slots = Slots(4)
    for number in range(3):
        slots.take("a", lambda number=number: ended.append(f"a{number}"))  # type: ignore[misc]
    slots.take("b", lambda: ended.append("b0"))

    slots.take("b", lambda: ended.append("b1"))

    assert ended == ["a0"]
    assert slots.taken == 4
    # Both holders have the same number, so neither takes a stream from the other.
    for holder in ("a", "b"):
        with pytest.raises(Busy):
            slots.take(holder, lambda: None)
    slots.take("c", lambda: ended.append("c0"))
    assert ended == ["a0", "a1"]
    # Once each holder has a single stream, none is taken away.
    slots.take("d", lambda: ended.append("d0"))
    with pytest.raises(Busy):
        slots.take("e", lambda: None)


def test_a_holder_may_have_a_number_of_them() -> None:
    slots = Slots(4)
    taken = [slots.take("a", lambda: None, most=2) for _ in range(2)]
    with pytest.raises(Busy, match="this token"):
        slots.take("a", lambda: None, most=2)
    for slot in (*taken, *taken):
        slot.give_back()
    assert slots.taken == 0
    slots.take("a", lambda: None, most=2)


def test_none_are_given_where_there_are_none() -> None:
    with pytest.raises(Busy):
        Slots(0).take("a", lambda: None)
