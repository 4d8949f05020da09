"""The text of a refused form, as the form shows it again: without credentials."""

import pytest

from ops.console.typed import LEFT_OUT, without_credentials

SECRET = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    "text",
    [
        f'{{"token": "{SECRET}",\r\n\t"amount": 0.10000000000000000001, "big": 1E300, "\\u00e4": "\\u00fc"}}',
        f'[ {{"a \\"name\\": b" : ["x: \\"y\\"", "{SECRET}"]}}, "z" ,"{SECRET}"]',
        f'"{SECRET}"',
        f'{{"key": "github/token", "value": "{SECRET}"}}',
    ],
)
def test_a_reference_stands_in_place_of_a_credential_and_nothing_else_is_changed(text: str) -> None:
    assert without_credentials(text) == text.replace(SECRET, "${env:NAME}")


@pytest.mark.parametrize(
    "text",
    [
        f'{{"token": "{SECRET}", "b": }}',
        f'{{"{SECRET}": "a"}}',
        f'{{"a": "{SECRET}", "a": "{SECRET}"}}',
        f"because of {SECRET}",
        f'{{"a": "{SECRET}", "a": "b"}}',
        f'{{"a": {{"{SECRET}": 1}}, "a": 2}}',
        # Credentials that only the names of their fields give away.
        '{"password": "hunter2-and-more", "password": ""}',
        '{"password": ["hunter2-and-more"], "password": 1}',
        '{"key": "db/password", "key": "x", "value": "hunter2-and-more", "value": 1}',
        '{"password": "hunter2-and-more",}',
        '{"db": {"password" : "hunter2-and-more"',
        "[" * 100_000,
    ],
)
def test_what_cannot_be_shown_without_its_credential_says_so(text: str) -> None:
    assert without_credentials(text) == LEFT_OUT


def test_what_holds_none_is_as_it_was_typed() -> None:
    texts = (
        "",
        "a reason",
        '{"a" : [1,\r\n2.50]}',
        '{"a": ',
        '{"a": "b", "a": "c"}',
        ']} "a": "\\',
        '"',
        '\\"' * 50_000,
    )
    for text in texts:
        assert without_credentials(text) == text
