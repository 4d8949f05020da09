"""How many requests one address may send."""

import pytest

from ops.http.layers.throttle import Throttle


@pytest.mark.parametrize("per_second", [0.1, 0.4, 1.0, 50.0])
def test_an_address_may_send_so_many_a_second_in_the_long_run_however_few(per_second: float) -> None:
    now = 0.0
    throttle = Throttle(per_second, clock=lambda: now)
    passed = 0
    for _ in range(1_000):
        passed += throttle.wait_seconds("192.0.2.1") == 0
        now += 0.1 / per_second
    assert 90 <= passed <= 100 + max(1, 2 * per_second)


def test_an_address_that_waited_as_long_as_it_was_told_may_send() -> None:
    now = 0.0
    throttle = Throttle(0.2, clock=lambda: now)
    assert throttle.wait_seconds("192.0.2.1") == 0
    now += throttle.wait_seconds("192.0.2.1")
    assert throttle.wait_seconds("192.0.2.1") == 0
