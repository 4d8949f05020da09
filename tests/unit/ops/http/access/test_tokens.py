"""Tokens by the clock."""

from pathlib import Path

from ops.http.access.tokens import TokenFile, Tokens, hash_of

DAY_MS = 24 * 3_600_000


def test_a_clock_that_is_set_back_does_not_bring_back_what_has_expired(tmp_path: Path) -> None:
    token, secret = TokenFile(tmp_path).create("ops", "read", lifetime_ms=DAY_MS)
    assert token.expires_at is not None
    now = token.created_at
    tokens = Tokens(tmp_path, clock=lambda: now)

    def is_good() -> set[bool]:
        # As a bearer, and for a certificate with its name.
        return {tokens.still_good(hash_of(secret)) is not None, tokens.named("ops") is not None}

    assert is_good() == {True}
    now = token.expires_at
    assert is_good() == {False}
    now = token.created_at
    assert is_good() == {False}
