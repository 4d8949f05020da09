"""How many credentials are known by their shapes, and how many honest texts are taken for one.

Both are printed in the summary of a run, kind by kind where there is a miss or a false alarm.
"""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from bus.contract.codec import findings_in
from domain.credentials.shapes import SHAPES
from tests.support.domain.credential_corpus import Pieces
from tests.support.domain.issued_credentials import SHAPED, UNSHAPED, encoded, honest
from tests.support.domain.spelled_out import spelled_out
from tests.support.figures import FIGURE

# Credentials of each kind; chance decides where dashes and digits are.
OF_EACH = 5
HONEST_ROUNDS = 20


def is_found(text: str) -> bool:
    # Under a name that says nothing.
    return bool(findings_in(msgspec.json.encode({"note": text})))


def made(makers: dict[str, Callable[[Pieces], str]]) -> Iterable[tuple[str, str]]:
    for kind, maker in makers.items():
        make = Pieces(kind)
        for _ in range(OF_EACH):
            yield kind, maker(make)


def missed(texts: Iterable[tuple[str, str]], wrap: Callable[[str], str]) -> dict[str, int]:
    missed: dict[str, int] = {}
    for kind, text in texts:
        missed[kind] = missed.get(kind, 0) + (not is_found(wrap(text)))
    return {kind: count for kind, count in missed.items() if count}


@pytest.fixture
def tell(record_property: Callable[[str, Any], None]) -> Callable[[str], None]:
    # The line is shown in the test summary (tests/conftest.py).
    return lambda line: record_property(FIGURE, line)


def test_credentials_with_a_published_shape_are_found(tell: Callable[[str], None]):
    misses = missed(made(SHAPED), str)
    total = OF_EACH * len(SHAPED)
    tell(f"credentials with a published shape: {total - sum(misses.values())} of {total}; missed {misses}")

    assert len(SHAPED) >= 150
    assert misses == {}


def test_what_looks_like_a_hash_is_missed_and_counted(tell: Callable[[str], None]):
    misses = missed(made(UNSHAPED), str)
    total = OF_EACH * len(UNSHAPED)
    tell(
        f"credentials without a shape, under a neutral name: {total - sum(misses.values())} of {total} found"
    )

    # A find here would mean that honest hashes are refused, too.
    assert sum(misses.values()) == total
    # Their names give them away.
    names = ("api_key", "secret", "access_token", "password")
    kinds = [(kind, text) for kind, text in made(UNSHAPED) if kind != "password of words"]
    unnamed = [
        kind for kind, text in kinds for name in names if not findings_in(msgspec.json.encode({name: text}))
    ]
    assert len(unnamed) <= len(kinds) * len(names) / 100, unnamed


def test_honest_texts_are_let_through(tell: Callable[[str], None]):
    alarms: dict[str, int] = {}
    texts = 0
    for seed in range(HONEST_ROUNDS):
        for kind, text in honest(Pieces(seed)).items():
            texts += 1
            if is_found(text) or is_found(f"see {text}, please"):
                alarms[kind] = alarms.get(kind, 0) + 1
    tell(f"honest texts: {sum(alarms.values())} of {texts} taken for a credential; {alarms}")

    assert alarms == {}


WRAPPINGS: dict[str, Callable[[str], str]] = {
    "in a text": lambda text: f"the call failed (with {text}), says the server.",
    "behind a line": lambda text: f"one\n{text}\ntwo",
    "behind an equals sign": lambda text: f"--value={text}",
    "in brackets": lambda text: f"[{text}]({text})",
    "in JSON in a string": lambda text: msgspec.json.encode({"inner": {"note": text}}).decode(),
    "in JSON in JSON in a string": lambda text: msgspec.json.encode(
        [msgspec.json.encode({"note": text}).decode()]
    ).decode(),
    "JSON's escapes in a text": lambda text: "said " + msgspec.json.encode(f"a\n{text}").decode(),
    "percent signs": lambda text: quote(text, safe=""),
    "nothing but percent signs": lambda text: "".join(f"%{code:02X}" for code in text.encode()),
    "percent signs twice": lambda text: quote(quote(text, safe=""), safe=""),
    "Base64": encoded,
    "Base64 in a text": lambda text: f"data: {encoded(text)}.",
    "URL-safe Base64": lambda text: encoded(text).replace("+", "-").replace("/", "_").rstrip("="),
    "Base64 twice": lambda text: encoded(encoded(text)),
    "Base64 of JSON": lambda text: encoded(msgspec.json.encode({"note": text}).decode()),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal, as numbers have it": lambda text: f"0x{text.encode().hex().upper()}",
}


@pytest.mark.parametrize("way", WRAPPINGS)
def test_another_spelling_hides_no_credential(way: str, tell: Callable[[str], None]):
    # Credentials only as a whole text, such as `token 0123…`, or too short to be known in another spelling.
    whole = {"token scheme", "bot scheme", "okta scheme"}
    texts = [(kind, text) for kind, text in made(SHAPED) if kind not in whole]
    misses = missed(texts, WRAPPINGS[way])
    tell(f"{way}: {len(texts) - sum(misses.values())} of {len(texts)} found; missed {misses}")

    assert sum(misses.values()) <= len(texts) / 100, misses


@pytest.mark.parametrize("change", [str.upper, str.lower])
def test_another_case_hides_no_credential(change: Callable[[str], str]):
    # Some changes of case make another text: a name in lower case gives less away.
    misses = missed(made(SHAPED), change)
    assert len(misses) <= len(SHAPED) / 10, misses


def test_each_shape_is_found_by_its_marks():
    """A mark that does not fit its shape would keep it from ever being tried."""
    never = []
    for kind, _, _, shape in SHAPES:
        make = Pieces(kind)
        if not any(is_found(spelled_out(shape, make) + make.of("x", 40)) or is_found(spelled_out(shape, make))
                   for _ in range(40)):  # fmt: skip
            never.append(kind)
    assert never == []
