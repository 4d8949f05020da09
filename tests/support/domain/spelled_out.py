"""Random texts that a regular expression finds, by any of the ways through it."""

import re
from collections.abc import Iterable
from typing import Any

from tests.support.domain.credential_corpus import Pieces

# The standard library's own reader of expressions, which has no public name.
_parser: Any = re._parser  # type: ignore[attr-defined]
PRINTABLE = [chr(code) for code in range(ord("!"), ord("~") + 1)]
CATEGORIES = {
    "CATEGORY_DIGIT": "0123456789",
    "CATEGORY_SPACE": " ",
    "CATEGORY_WORD": "ABCXYZabcxyz0123456789_",
    "CATEGORY_NOT_SPACE": "ABCXYZabcxyz0123456789_",
}


def spelled_out(expression: str, make: Pieces) -> str:
    """A text that begins like one the expression finds, and mostly is one."""
    return "".join(_spell(_parser.parse(expression, re.ASCII), make))


def _spell(tree: Any, make: Pieces) -> Iterable[str]:
    for operation, argument in tree:
        name = str(operation)
        if name == "LITERAL":
            yield chr(argument)
        elif name == "IN":
            yield make.choice(_members(argument))
        elif name == "ANY":
            yield "."
        elif name == "NOT_LITERAL":
            yield "x" if argument != ord("x") else "y"
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            least, most, inner = argument
            for _ in range(make.randint(least, min(most, least + 8))):
                yield from _spell(inner, make)
        elif name == "SUBPATTERN":
            yield from _spell(argument[-1], make)
        elif name == "BRANCH":
            yield from _spell(make.choice(argument[1]), make)


def _members(argument: Any) -> list[str]:
    members: list[str] = []
    negated = False
    for operation, value in argument:
        name = str(operation)
        if name == "NEGATE":
            negated = True
        elif name == "LITERAL":
            members.append(chr(value))
        elif name == "RANGE":
            members.extend(map(chr, range(value[0], value[1] + 1)))
        else:
            members.extend(CATEGORIES[str(value)])
    return [sign for sign in PRINTABLE if sign not in members] if negated else members
