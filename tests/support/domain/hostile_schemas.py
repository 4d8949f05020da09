"""Schemas made to take long, and documents for them, by a seed.

Each is built of what is known to be slow somewhere (backtracking, branches in branches, references to
references, numbers that are no machine words, many errors, errors of large parts), in random company.
"""

from random import Random
from typing import Any

import msgspec

PATTERNS = (
    "^[a-z0-9-]{1,63}$",
    "a[ab]{20}c",
    "^[ab]*a[ab]{200}c$",
    "(a|b)*a(a|b){60}c",
    "^(a+)+$",
    "([a-z]+)*[0-9]",
    "^x",
    "b$",
    ".{200}",
    "(?:a{0,50}){0,50}c",
    r"^\s*\S+\s*$",
    r"\p{L}+[0-9]",
    "(?<=a)(?=[ab]*c)x",
    r"(a*)\1b",
    "x{1000}{1000}",
    r"\s" * 60,
    "[ab]{500}|[ab]{499}c",
)
FORMATS = ("date-time", "idn-hostname", "idn-email", "email", "uri", "iri-reference", "ipv6", "uuid", "regex")
NUMBERS = (0, 1, 7, 0.1, 0.01, 500.5, 1e-300, 5e-324, 1e300, 2**53 + 1, 2**63, 10**40, 10**300 + 7)
NAMES = tuple("abcdefgh")
_KINDS = ("numbers", "texts", "text", "objects", "object", "lists", "brackets", "deep", "mixed")


class Hostility:
    """The schemas and documents that one seed makes."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._levels = self._random.choice((1, 2, 3, 5, 9, 14, 20))
        self._parts: dict[str, Any] = {}

    def schema(self) -> dict[str, Any]:
        """A schema, most often an expensive one; not all of them are taken."""
        random = self._random
        shape = random.choice((self._tower, self._tower, self._mixture, self._mixture, self._fan))
        found = shape()
        return found | ({"$defs": self._parts} if self._parts else {})

    def document(self, scale: int) -> dict[str, Any]:
        """A document of about so many values, or bytes of text."""
        random = self._random
        kind = random.choice(_KINDS)
        return {name: self._filled(kind, max(1, scale // 2)) for name in random.sample(NAMES, 2)}

    def _tower(self) -> dict[str, Any]:
        """One keyword nested in itself again and again."""
        random = self._random
        built = self._leaf()
        keywords = random.choices(tuple(_LEVELS), k=random.choice((1, 1, 2, 3)))
        beside = [self._leaf() for _ in range(random.choice((0, 0, 1)))]
        asking = random.choice(({}, {}, {"unevaluatedProperties": False}, {"unevaluatedItems": self._leaf()}))
        for level in range(self._levels):
            built = _LEVELS[keywords[level % len(keywords)]](built)
            for each in beside:
                built = built | each
            built = built | asking
            if len(msgspec.json.encode(built)) > 20_000:
                break
        return built

    def _mixture(self, depth: int = 0) -> dict[str, Any]:
        random = self._random
        if depth > 3 or random.random() < 0.2 * depth:
            return self._leaf()
        built: dict[str, Any] = {}
        for _ in range(random.choice((1, 1, 2, 3))):
            built |= random.choice(tuple(_LEVELS.values()))(self._mixture(depth + 1))
        count = random.choice((0, 0, 3, 40))
        if count:
            keyword = random.choice(("anyOf", "oneOf", "allOf"))
            built[keyword] = [self._leaf() for _ in range(count)]
        if random.random() < 0.3:
            built[random.choice(("unevaluatedProperties", "unevaluatedItems"))] = random.choice(
                (False, self._leaf())
            )
        return built | (self._leaf() if random.random() < 0.5 else {})

    def _fan(self) -> dict[str, Any]:
        """Parts that refer to parts."""
        random = self._random
        width = random.choice((1, 2, 3, 8))
        self._parts = {
            f"p{level}": random.choice(
                (
                    {"allOf": [{"$ref": f"#/$defs/p{level + 1}"}] * width},
                    {"anyOf": [{"$ref": f"#/$defs/p{level + 1}"}] * width},
                    {"properties": {name: {"$ref": f"#/$defs/p{level + 1}"} for name in NAMES[:width]}},
                    {
                        "items": {"$ref": f"#/$defs/p{level + 1}"},
                        "additionalProperties": {"$ref": f"#/$defs/p{level + 1}"},
                    },
                )
            )
            for level in range(min(self._levels, 12))
        }
        self._parts[f"p{len(self._parts)}"] = self._leaf()
        return {"$ref": "#/$defs/p0", "additionalProperties": {"$ref": "#/$defs/p0"}}

    def _leaf(self) -> dict[str, Any]:
        random = self._random
        many = random.choice((1, 10, 200))
        number = random.choice(NUMBERS)
        return random.choice(
            (
                lambda: {"type": random.choice(("integer", "string", "object", "array"))},
                lambda: {"pattern": random.choice(PATTERNS)},
                lambda: {
                    "patternProperties": {each: {"type": "integer"} for each in random.sample(PATTERNS, 2)}
                },
                lambda: {"propertyNames": {"pattern": random.choice(PATTERNS)}},
                lambda: {"format": random.choice(FORMATS)},
                lambda: {"enum": [[each] * random.choice((1, 20)) for each in range(many)]},
                lambda: {"enum": [{"a": each, "b": number} for each in range(many)]},
                lambda: {"enum": [each + 0.5 for each in range(many)]},
                lambda: {"const": {"a": [number] * many}},
                lambda: {random.choice(("minimum", "maximum", "exclusiveMinimum")): number},
                lambda: {"multipleOf": number or 3},
                lambda: {"uniqueItems": True},
                lambda: {"required": [f"n{each}" for each in range(many)]},
                lambda: {"dependentRequired": {name: [f"n{each}" for each in range(many)] for name in NAMES}},
                lambda: {"properties": {f"a{each}": {"type": "integer"} for each in range(many)}},
                lambda: {"contains": {"type": "null"}, "minContains": 2, "maxContains": many},
                lambda: {"prefixItems": [{"type": "integer"}] * many, "items": False},
                lambda: {"additionalProperties": False},
                lambda: {"maxLength": 3, "minLength": 2},
                lambda: {"not": {"enum": list(range(many))}},
            )
        )()

    def _filled(self, kind: str, scale: int) -> Any:
        random = self._random
        text = "".join(random.choices("ab", k=4_000))
        if kind == "numbers":
            number = random.choice(NUMBERS)
            return [number + each if isinstance(number, int) else number for each in range(scale)]
        if kind == "texts":
            size = random.choice((3, 30, 300))
            return [text[each % 3_000 :][:size] for each in range(max(1, scale // max(1, size // 10)))]
        if kind == "text":
            return random.choice((text, "a" * 4_000, "1" * 4_000, "ü.ß" * 1_000))[: max(scale, 1)] * (
                1 + scale // 4_000
            )
        if kind == "objects":
            return [dict.fromkeys(NAMES[:4], each) for each in range(1 + scale // 5)]
        if kind == "object":
            size = random.choice((1, 1, 100))
            return {f"{text[:size]}{each}": each for each in range(scale)}
        if kind == "lists":
            return [[each] * 9 for each in range(1 + scale // 10)]
        if kind == "brackets":
            # Values that look the same to a comparison that ignores brackets.
            return [_nested([], 1 + each % 40) for each in range(1 + scale // 40)]
        if kind == "deep":
            return _nested(list(range(scale)), random.choice((3, 20, 60)))
        return [self._filled(random.choice(_KINDS[:-1]), 1 + scale // 4) for _ in range(4)]


def _nested(value: Any, levels: int) -> Any:
    for level in range(levels):
        value = {NAMES[level % 2]: value} if level % 3 == 0 else [value]
    return value


_LEVELS = {
    "if": lambda inner: {"if": inner},
    "if then": lambda inner: {"if": inner, "then": inner, "else": inner},
    "allOf": lambda inner: {"allOf": [inner]},
    "allOf twice": lambda inner: {"allOf": [inner, inner]},
    "anyOf": lambda inner: {"anyOf": [inner, {"type": "null"}]},
    "oneOf": lambda inner: {"oneOf": [inner, {"type": "null"}]},
    "not": lambda inner: {"not": inner},
    "items": lambda inner: {"items": inner, "additionalProperties": inner},
    "contains": lambda inner: {"contains": inner, "additionalProperties": inner},
    "properties": lambda inner: {"properties": dict.fromkeys(NAMES[:3], inner)},
    "patternProperties": lambda inner: {"patternProperties": {"^[a-h]": inner, "b": inner}},
    "dependentSchemas": lambda inner: {"dependentSchemas": dict.fromkeys(NAMES[:3], inner)},
    "unevaluatedProperties": lambda inner: {"unevaluatedProperties": inner},
    "unevaluatedItems": lambda inner: {"unevaluatedItems": inner, "additionalProperties": inner},
}
