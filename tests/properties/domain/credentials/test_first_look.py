"""The first look at a body passes over nothing in which the second would find a credential."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.credentials.first_look import may_hold_credential
from domain.credentials.scanning import credentials_in
from domain.credentials.shapes import SHAPES
from tests.support.domain.credential_corpus import Pieces
from tests.support.domain.issued_credentials import SHAPED, UNSHAPED, honest
from tests.support.domain.spelled_out import spelled_out
from tests.support.examples import examples

WORDS = (
    *(
        "token",
        "secret",
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "auth",
        "authorization",
        "bearer",
        "basic",
    ),
    *(
        "credential",
        "key",
        "apikey",
        "api-key",
        "accesskey",
        "authtoken",
        "oauth",
        "bot",
        "digest",
        "ssws",
        "curl",
    ),
    *(
        "login",
        "user",
        "Server",
        "-u",
        "--user",
        "api",
        "private",
        "master",
        "account",
        "signing",
        "of",
        "count",
    ),
    *("paſſword", "toKen", "ü", "s", "S", "x1", "name", "key", "value"),
)
SIGNS = (*"=:\"'<>/?&#@_-. \n\t,;%{}[]\\$", "://", "</", ": ", '="', " = ", "${env:A}", "%3D", "\\n", "  ")
VALUES = (
    *(
        "aB3dE5gH7jK9mN1pQ",
        "hunter2x",
        "s3cr3t-9",
        "bWU6aHVudGVyMg==",
        "x7y8z9",
        "4f9a1c77e2b84d1f9a1c77e2b84d1f00",
    ),
    *("01a20adb-1a24-7ae3-8f72-87397e233a2a", "default", "***", "a"),
)


def spelled(maker: Callable[[Pieces], str]) -> Callable[[int], str]:
    return lambda seed: maker(Pieces(seed))


CREDENTIALS = [
    *map(spelled, SHAPED.values()),
    *map(spelled, UNSHAPED.values()),
    *(lambda seed, shape=shape: spelled_out(shape, Pieces(seed)) for _, _, _, shape in SHAPES),
    *(lambda seed, what=what: honest(Pieces(seed))[what] for what in honest(Pieces(0))),
]
# By their numbers: a list of functions has a long description.
numbers = st.integers(0, len(CREDENTIALS) - 1)
credentials = st.builds(lambda number, seed: CREDENTIALS[number](seed), numbers, st.integers(0, 2**32))
parts = st.sampled_from(WORDS) | st.sampled_from(SIGNS) | st.sampled_from(VALUES) | credentials
WRAPPERS: list[Callable[[str], str]] = [
    str,
    str.upper,
    str.title,
    quote,
    json.dumps,
    lambda text: json.dumps(json.dumps({"a": text})),
    lambda text: json.dumps({text: "aB3dE5gH7jK9mN1pQ"}),
    lambda text: base64.b64encode(text.encode("utf-8", "surrogatepass")).decode(),
    lambda text: "/" + base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).decode(),
    lambda text: text.encode("utf-8", "surrogatepass").hex(),
    lambda text: "0x" + text.encode("utf-8", "surrogatepass").hex().upper(),
    lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
]
texts = st.builds(
    lambda wrap, pieces: wrap("".join(pieces)),
    st.sampled_from(WRAPPERS),
    st.lists(parts, min_size=1, max_size=7),
)
documents = st.recursive(
    texts | st.sampled_from(VALUES),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | texts, inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=examples(300))
@given(document=documents)
@example(document={"note": "login me -u bot:hunter2"})
@example(document=["api\nkey = aB3dE5gH7jK9mN1pQ", {"name": "github/token", "value": "aB3dE5gH7jK9mN1pQ"}])
def test_what_the_first_look_passes_over_holds_no_credential(document: Any):
    body = msgspec.json.encode(document)

    if not may_hold_credential(body):
        assert list(credentials_in(msgspec.json.decode(body))) == [], body


@settings(max_examples=examples(100))
@given(text=texts)
def test_so_it_does_where_a_body_is_no_json(text: str):
    if not may_hold_credential(text.encode()):
        assert list(credentials_in(text)) == []


@settings(max_examples=examples(100))
@given(documents=st.lists(documents, min_size=1, max_size=4))
def test_what_is_not_in_the_whole_is_in_none_of_its_parts(documents: list[Any]):
    if not may_hold_credential(msgspec.json.encode({"commands": [{"body": one} for one in documents]})):
        assert not [
            one for one in documents if list(credentials_in(msgspec.json.decode(msgspec.json.encode(one))))
        ]
