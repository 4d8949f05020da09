"""The log of a connection to NATS that meets the same errors again and again."""

import pytest

from ops.service.connections import LOG_AGAIN_SECONDS, MAXIMUM_LOGGED, ErrorLog


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [one.getMessage().removeprefix("nats, as relay: ") for one in caplog.records]
    caplog.clear()
    return found


def test_each_error_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    errors = ErrorLog("relay", lambda: now)

    for said in ("cut off", "refused", "refused", "cut off"):
        errors.note(said)
        now += LOG_AGAIN_SECONDS / 4
    assert logged(caplog) == ["cut off", "refused"]

    # A minute after the first, and less than one after the second.
    for said in ("cut off", "refused"):
        errors.note(said)
    assert logged(caplog) == ["cut off"]


def test_of_many_different_errors_some_are_logged_and_that_there_are_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors = ErrorLog("relay", lambda: 0.0)

    for number in range(100):
        errors.note(f"error {number}")

    *first, last = logged(caplog)
    assert first == [f"error {number}" for number in range(MAXIMUM_LOGGED)]
    assert "left out" in last
