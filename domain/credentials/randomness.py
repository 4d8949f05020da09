"""Random text: whether a machine has drawn it, or a person thought of it as a password."""

import re
from collections import Counter
from math import log2

_SEPARATOR = re.compile(r"[-_.:/+=~]+")
_TOKEN = re.compile(r"[\w.~+/=:!@#$%^&*-]{10,}", re.ASCII)
_DIGIT_THEN_LETTER = re.compile(r"[0-9][A-Za-z]")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
# The average length of words from which on a text is no random one: random letters and digits fall into words
# of two or three.
_SHORTEST_WORDS = 3.6
_PLACE = re.compile(r"[a-z][a-z0-9+.-]{0,30}://|~?/|\.\.?/|[A-Z]:\\", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"[<{\[(%].*[>}\])%]|(.)\1*", re.DOTALL)
# How much of a text is looked at: a longer one is known by its beginning.
_LOOKED_AT = 256


def is_random(text: str) -> bool:
    """Whether a text looks as if a machine had drawn it: no words, no path, no address.

    One part of it, between `-`, `_`, `.` and the like, mixes digits among letters, or changes between upper
    and lower case more often than words do.
    """
    text = text[:_LOOKED_AT]
    if not _TOKEN.fullmatch(text):
        return False
    parts = _SEPARATOR.split(text)
    if _PLACE.match(text) and not any(len(part) >= 16 and _is_drawn(part) for part in parts):
        return False
    return any(map(_is_drawn, parts))


def _is_drawn(part: str) -> bool:
    if len(part) < 8 or len(set(part)) < 5:
        return False
    digits = sum(map(str.isdigit, part))
    if digits >= 2 and _DIGIT_THEN_LETTER.search(part):
        return True
    return len(part) >= 16 and len(_WORD.findall(part)) * _SHORTEST_WORDS >= len(part)


def is_password(text: str) -> bool:
    """Whether a text under the name of a password is more than a word: 6 characters and not letters alone."""
    return (
        len(text) >= 6
        and not any(map(str.isspace, text))
        and any(map(str.isalpha, text))
        and not text.replace("-", "").replace("_", "").replace(".", "").isalpha()
        and not is_placeholder(text)
        and not _PLACE.match(text)
    )


def is_placeholder(text: str) -> bool:
    """Whether a text stands where a password would: `<password>`, `{{ password }}`, `****`."""
    return _PLACEHOLDER.fullmatch(text) is not None


def bits_a_character(text: str) -> float:
    """How much the characters of a text differ (Shannon's entropy): 0 if it is one, 4 for random hex."""
    size = len(text)
    return -sum(count / size * log2(count / size) for count in Counter(text).values())
