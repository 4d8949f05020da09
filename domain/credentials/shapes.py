"""The shapes of credentials: what their issuers gave them, and where a text has one.

Each shape has marks, of which a text that holds it has one. A mark is how the shape begins, as an expression
in lower case; the sign before it is no letter and no digit. Behind a star it is a text from the middle of the
shape, in lower case. One expression looks for all the marks at once, and shapes are tried only where it
finds one: so the cost of a look hardly grows with the list. No shape takes longer than the text is long: each
repetition has a bound, or cannot begin in the middle of a run of the same characters.
"""

import re
from binascii import Error, a2b_base64
from collections.abc import Iterator
from functools import cache

from domain.credentials import issuers
from domain.credentials.gitleaks import rules
from domain.credentials.randomness import bits_a_character, is_random

# A reference to a credential, which its reader looks up, is none itself.
REFERENCE = re.compile(r"\$\{env:[A-Za-z_][A-Za-z0-9_]{0,127}\}")

# Kind, marks, bits a character at least, expression.
SHAPES = (*((kind, marks, 0.0, shape) for kind, marks, shape in issuers.SHAPES), *rules.RULES)
# The length of the shortest credential, except for the password in a URL and what follows a scheme.
_SHORTEST = 18

URL_WITH_PASSWORD = "url_with_password"
AUTHORIZATION = "authorization"
# A mask, as in `user:***@host`, is no password, nor is a place to put one.
_IN_A_URL = re.compile(r"://[^\s/?#:@\"'<>]{0,256}:(?![*x]{1,64}@)[^\s/?#@\"'<>{}]{1,256}@[^\s/]")
# A token may stand where the user's name does.
_USER_IN_A_URL = re.compile(r"://(?P<value>[\w.~-]{20,256})@[^\s/]", re.ASCII)
_BEARER = re.compile(r"(?<![a-z0-9])bearer\s{1,3}(?P<value>[\w.~+/=-]{16,256})", re.IGNORECASE | re.ASCII)
_BASIC = re.compile(r"(?<![a-z0-9])basic\s{1,3}(?P<value>[a-z0-9+/]{8,512}={0,2})", re.IGNORECASE)
_OTHER_SCHEME = re.compile(
    r"\s*(?:authorization:\s*)?(?:token|bot|apikey|api-key|oauth|ssws|geniekey|splunk|digest)\s{1,3}"
    r"(?:token=)?(?P<value>[\w.~+/=-]{16,256})\s*",
    re.IGNORECASE | re.ASCII,
)
# As that begins; most of its words give it away in another place.
_MARKS_OF_SCHEMES = tuple(
    rf"{scheme}\s{{1,3}}[\w.=-]{{8}}" for scheme in ("bot", "apikey", "ssws", "geniekey", "splunk", "digest")
)
# So many signs of Base64 in front of it, and it is a piece of data, in which chance spells everything.
_WITHIN_DATA = 100
_IN_DATA = re.compile(rf"[A-Za-z0-9+/]{{{_WITHIN_DATA - 1}}}[+/]")
# Of random ones, one in 30,000 has `eaaa` where a token of Square could begin.
_LONGEST_UUID = 36
_UUID = re.compile(r"[0-9a-f]{8}(-?)(?:[0-9a-f]{4}\1){3}[0-9a-f]{12}", re.IGNORECASE)


def _beginning(mark: str) -> str:
    return mark[:2] if mark[0] == "\\" else mark[0]


def _by_beginning() -> dict[str, list[str]]:
    marks: dict[str, list[str]] = {}
    for shape_marks in (_MARKS_OF_SCHEMES, *(marks for _, marks, _, _ in SHAPES)):
        for mark in shape_marks:
            if mark[0] != "*" and mark not in marks.setdefault(_beginning(mark), []):
                marks[_beginning(mark)].append(mark)
    return marks


def _expression_of_marks() -> str:
    # By the first sign, so that most places are passed over after one comparison with each.
    branches = (
        f"{first}(?:{'|'.join(mark[len(first) :] for mark in marks)})"
        for first, marks in sorted(_by_beginning().items())
    )
    return f"[^a-z0-9](?={'|'.join(branches)})"


@cache
def _mark() -> re.Pattern[str]:
    return re.compile(_expression_of_marks(), re.ASCII)


MARKS = tuple(mark for marks in _by_beginning().values() for mark in marks)
INNER_MARKS = tuple({mark[1:]: None for _, marks, _, _ in SHAPES for mark in marks if mark[0] == "*"})


def kind_of_shape(text: str) -> str | None:
    """The kind of a credential that the text is or contains, by its shape alone."""
    if len(text) < _SHORTEST:
        if "://" in text and "@" in text and _IN_A_URL.search(text):
            return URL_WITH_PASSWORD
        return AUTHORIZATION if len(text) > 12 and "basic" in text.lower() and _has_basic(text) else None
    if not text.isascii():
        # One character a byte, so that lower case is as long.
        text = text.encode("utf-8", "surrogatepass").decode("latin-1")
    return next(_kinds_in(text), None)


def _kinds_in(text: str) -> Iterator[str]:
    lower = " " + text.lower()
    for found in _mark().finditer(lower):
        # Behind the sign before it, and one earlier in the text, which has no space in front.
        place = found.end() - 1
        shape = _shapes_from(lower[place + 1]).match(text, place)
        if shape is None or _IN_DATA.fullmatch(text, place - _WITHIN_DATA, place) or _is_of_uuid(text, place):
            continue
        if kind := _named_by(shape):
            yield kind
    for mark in INNER_MARKS:
        if mark in lower:
            yield from filter(None, map(_named_by, _shapes_around(mark).finditer(text)))
    if "://" in text and "@" in text:
        if _IN_A_URL.search(text):
            yield URL_WITH_PASSWORD
        if any(is_random(one["value"]) for one in _USER_IN_A_URL.finditer(text)):
            yield URL_WITH_PASSWORD
    if "bearer" in lower and any(is_random(one["value"]) for one in _BEARER.finditer(text)):
        yield AUTHORIZATION
    if "basic" in lower and _has_basic(text):
        yield AUTHORIZATION
    if " " in text and (whole := _OTHER_SCHEME.fullmatch(text)) and is_random(whole["value"]):
        yield AUTHORIZATION


def _is_of_uuid(text: str, place: int) -> bool:
    around = _UUID.finditer(text, max(place - _LONGEST_UUID, 0), place + _LONGEST_UUID)
    return any(one.start() <= place < one.end() for one in around)


def _has_basic(text: str) -> bool:
    return any(_is_user_and_password(one["value"]) for one in _BASIC.finditer(text))


def _is_user_and_password(encoded: str) -> bool:
    try:
        plain = a2b_base64(encoded.rstrip("=") + "==")
    except Error:
        return False
    return plain.isascii() and b":" in plain.strip(b":") and plain.decode("ascii").isprintable()


def _named_by(found: re.Match[str]) -> str | None:
    """The kind of the shape that was found, unless its characters are too much alike for a credential."""
    assert found.lastgroup is not None
    kind, _, bits, _ = SHAPES[int(found.lastgroup[1:])]
    return kind if not bits or bits_a_character(found[0]) >= bits else None


@cache
def _shapes_from(first: str) -> re.Pattern[str]:
    """All shapes with a mark that begins with this sign."""
    return _any_of(
        number
        for number, (_, marks, _, _) in enumerate(SHAPES)
        if any(_beginning(mark)[-1] == first for mark in marks)
    )


@cache
def _shapes_around(inner: str) -> re.Pattern[str]:
    return _any_of(number for number, (_, marks, _, _) in enumerate(SHAPES) if "*" + inner in marks)


def _any_of(numbers: Iterator[int]) -> re.Pattern[str]:
    # A credential whose case was changed is known all the same.
    shapes = "|".join(f"(?P<_{number}>{SHAPES[number][3]})" for number in numbers)
    return re.compile(shapes, re.IGNORECASE | re.ASCII)
