"""The shapes that issuers give to credentials, and the search for them in a text.

Each shape has marks, and every text that holds the shape holds one of them. A mark is an expression, in lower
case, of how the shape begins; the character before it is no letter and no digit. A mark that begins with a
star is instead a plain text from the middle of the shape, in lower case. One expression searches for all
marks at once, and shapes are tried only where it finds one, so the cost hardly grows with the list. Each
shape takes linear time: every repetition has a bound, or cannot begin in the middle of a run of the same
characters.
"""

import re
from binascii import Error, a2b_base64
from collections.abc import Iterator
from functools import cache

from domain.credentials import issuers
from domain.credentials.gitleaks import rules
from domain.credentials.randomness import bits_a_character, is_random

# A reference to a credential, which its reader resolves, is not a credential itself.
REFERENCE = re.compile(r"\$\{env:[A-Za-z_][A-Za-z0-9_]{0,127}\}")

# Kind, marks, least bits of entropy a character, expression.
SHAPES = (*((kind, marks, 0.0, shape) for kind, marks, shape in issuers.SHAPES), *rules.RULES)
# The length of the shortest credential, except for the password in a URL and what follows a scheme.
_SHORTEST = 18

URL_WITH_PASSWORD = "url_with_password"
AUTHORIZATION = "authorization"
# A mask, as in `user:***@host`, is no password, and neither is a placeholder such as `<password>`.
_IN_A_URL = re.compile(r"://[^\s/?#:@\"'<>]{0,256}:(?![*x]{1,64}@)[^\s/?#@\"'<>{}]{1,256}@[^\s/]")
# A token may stand in the place of the user's name.
_USER_IN_A_URL = re.compile(r"://(?P<value>[\w.~-]{20,256})@[^\s/]", re.ASCII)
_BEARER = re.compile(r"(?<![a-z0-9])bearer\s{1,3}(?P<value>[\w.~+/=-]{16,256})", re.IGNORECASE | re.ASCII)
_BASIC = re.compile(r"(?<![a-z0-9])basic\s{1,3}(?P<value>[a-z0-9+/]{8,512}={0,2})", re.IGNORECASE)
_OTHER_SCHEME = re.compile(
    r"\s*(?:authorization:\s*)?(?:token|bot|apikey|api-key|oauth|ssws|geniekey|splunk|digest)\s{1,3}"
    r"(?:token=)?(?P<value>[\w.~+/=-]{16,256})\s*",
    re.IGNORECASE | re.ASCII,
)
# Marks of `_OTHER_SCHEME`; the first look has hints of its own for the other words.
_MARKS_OF_SCHEMES = tuple(
    rf"{scheme}\s{{1,3}}[\w.=-]{{8}}" for scheme in ("bot", "apikey", "ssws", "geniekey", "splunk", "digest")
)
# A match behind so many characters of Base64 is part of encoded data, in which any shape occurs by chance.
_WITHIN_DATA = 100
_IN_DATA = re.compile(rf"[A-Za-z0-9+/]{{{_WITHIN_DATA - 1}}}[+/]")
# A match in a UUID does not count: one random UUID in 30,000 has `eaaa` where a token of Square could begin.
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
    # Grouped by their first character: most places are then passed over after comparing it with each group's.
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
        # One character for each byte, so that the text in lower case has the same length.
        text = text.encode("utf-8", "surrogatepass").decode("latin-1")
    return next(_kinds_in(text), None)


def _kinds_in(text: str) -> Iterator[str]:
    lower = " " + text.lower()
    for found in _mark().finditer(lower):
        # The mark begins at `found.end()` in `lower`, and one earlier in `text`, which has no space in front.
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
    """The kind of the shape that was found; `None` if the text has too little entropy for a credential."""
    assert found.lastgroup is not None
    kind, _, bits, _ = SHAPES[int(found.lastgroup[1:])]
    return kind if not bits or bits_a_character(found[0]) >= bits else None


@cache
def _shapes_from(first: str) -> re.Pattern[str]:
    """All shapes with a mark that begins with this character."""
    return _any_of(
        number
        for number, (_, marks, _, _) in enumerate(SHAPES)
        if any(_beginning(mark)[-1] == first for mark in marks)
    )


@cache
def _shapes_around(inner: str) -> re.Pattern[str]:
    return _any_of(number for number, (_, marks, _, _) in enumerate(SHAPES) if "*" + inner in marks)


def _any_of(numbers: Iterator[int]) -> re.Pattern[str]:
    # A credential whose case was changed is found, too.
    shapes = "|".join(f"(?P<_{number}>{SHAPES[number][3]})" for number in numbers)
    return re.compile(shapes, re.IGNORECASE | re.ASCII)
