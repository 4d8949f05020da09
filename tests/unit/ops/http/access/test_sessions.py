"""Browsers that are logged in: how many, and for how long."""

from ops.http.access.roles import Principal
from ops.http.access.sessions import IDLE_SECONDS, LIFETIME_SECONDS, MAXIMUM_SESSIONS, Sessions

READER, OPERATOR = Principal(name="reader", role="read"), Principal(name="ops", role="operate")


def test_whoever_opens_many_sessions_ends_only_their_own() -> None:
    sessions = Sessions(clock=lambda: 0.0)
    theirs = [sessions.open(OPERATOR, "o")[0] for _ in range(3)]
    mine = [sessions.open(READER, "r")[0] for _ in range(2 * MAXIMUM_SESSIONS)]
    assert all(sessions.find(secret) is not None for secret in theirs)
    left = [secret for secret in mine if sessions.find(secret) is not None]
    assert left == mine[-(MAXIMUM_SESSIONS - 3) :]


def test_a_bearer_has_one_session_however_often_it_asks() -> None:
    sessions = Sessions(clock=lambda: 0.0)
    secret, _ = sessions.open(OPERATOR, "o")
    first = sessions.of_bearer(READER, "r")
    assert all(sessions.of_bearer(READER, "r") is first for _ in range(2 * MAXIMUM_SESSIONS))
    assert sessions.find(secret) is not None
    # Sessions of many other tokens push each other out, and not the browser's session.
    for number in range(2 * MAXIMUM_SESSIONS):
        sessions.of_bearer(READER, str(number))
    assert sessions.find(secret) is not None
    assert sessions.of_bearer(READER, "r") is not first


def test_a_session_ends_when_it_was_unused_and_in_any_case_in_time() -> None:
    now = 0.0
    sessions = Sessions(clock=lambda: now)
    secret, _ = sessions.open(READER, "r")
    while now + IDLE_SECONDS < LIFETIME_SECONDS:
        now += IDLE_SECONDS
        assert sessions.find(secret) is not None
    now = LIFETIME_SECONDS + 1
    assert sessions.find(secret) is None
    unused, _ = sessions.open(READER, "r")
    now += IDLE_SECONDS + 1
    assert sessions.find(unused) is None
