"""Regular expressions in schemas: which are accepted, and what one costs.

The engine reads each byte of a text once, and keeps all the places of the expression that may match there. So
the work is at most the number of these places times the bytes, whatever the text. An engine with lookaround
or backreferences has no such bound.
"""

import re
from functools import lru_cache
from typing import NamedTuple

import jsonschema_rs
import msgspec

from domain.json_schema.costs import Cost

MAXIMUM_PATTERN_LENGTH = 2_000
MAXIMUM_COMPILED_BYTES = 300_000
# For one expression, and for all those in a schema.
MAXIMUM_BUILD_NS = 15_000_000
# The limits with which an expression is compiled in turn, to find out its compiled size.
_SIZES = (500, 2_000, 8_000, 32_000, 100_000, MAXIMUM_COMPILED_BYTES)
# The engine of all schemas.
ENGINE = jsonschema_rs.RegexOptions(size_limit=MAXIMUM_COMPILED_BYTES)
# Tells whether a text has the syntax of a regular expression, without building it.
_WRITTEN = jsonschema_rs.validator_for({"format": "regex"}, validate_formats=True)
_WITHOUT_BOUND = re.compile(r"\(\?<?[=!]|\\[1-9]|\\k<")

_MICROSECOND = 1_000
# Each of these classes is replaced by so many characters, for which the whole expression is read again.
_CLASSES = {"s": 100, "S": 100, "w": 30, "W": 30, "d": 10, "D": 10, "c": 5}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Pattern(NamedTuple):
    """A regular expression: its problem (`None`: it has none), and the costs of building and matching it."""

    problem: str | None
    hint: str | None = None
    build: float = 0
    match: Cost = Cost()


@lru_cache(maxsize=1_024)
def pattern(expression: str) -> Pattern:
    """The costs of a regular expression, or the reason why it is not accepted."""
    if len(expression) > MAXIMUM_PATTERN_LENGTH:
        return Pattern(f"a regular expression has at most {MAXIMUM_PATTERN_LENGTH} characters")
    build = build_ns(expression)
    if build > MAXIMUM_BUILD_NS:
        return Pattern("the regular expression has too many classes such as \\s and \\w", _SHORTER)
    for size in _SIZES:
        if _compiles(expression, jsonschema_rs.RegexOptions(size_limit=size)):
            # A place takes 70 compiled bytes or more, and 4 to 5 ns for a byte of text. Where there are many,
            # remembering which of them belong together takes more.
            match = Cost(fixed=100, byte=min(size / 4, 200) + size / 9)
            return Pattern(None, build=build, match=match)
    if _WRITTEN.is_valid(expression):
        if _WITHOUT_BOUND.search(expression):
            return Pattern(
                "a regular expression has no lookaround and no backreference here",
                "say it with allOf, not or if, or with several expressions",
            )
        return Pattern("the regular expression is too large, once its repetitions are written out", _SHORTER)
    return Pattern(
        "it is no regular expression", "it is one of ECMA 262 without lookaround and backreferences"
    )


_SHORTER = "lengths are better said with minLength and maxLength"


def build_ns(expression: str) -> float:
    """The most nanoseconds that building a regular expression takes, computed without building it."""
    escapes = _ESCAPE.findall(expression)
    classes = [_CLASSES[each] for each in escapes if each in _CLASSES]
    again = len(classes) * (len(expression) + sum(classes)) * 0.1
    properties = sum(each in "pP" for each in escapes) * 150
    return (100 + 2 * len(expression) + properties + again) * _MICROSECOND


def _compiles(expression: str, engine: jsonschema_rs.RegexOptions) -> bool:
    schema = msgspec.json.encode({"pattern": expression}).decode()
    try:
        jsonschema_rs.validator_for(schema, offline=True, pattern_options=engine)
    except (jsonschema_rs.ValidationError, ValueError):
        return False
    return True
