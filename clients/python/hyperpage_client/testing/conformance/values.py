"""Random JSON by a JSON Schema: few different values, so that commands often meet the same ones."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# The share of optional members that are present, and of nullable values that are null.
_PRESENT, _NULL = 0.7, 0.2
_WORDS = ("a", "b", "another", "two words", "Ünï", "7")
# A text with a pattern, mostly a key, is one of these that match.
_PATTERNED = ("a", "b", "c", "A", "AB", "ABC", "a-b", "a/b", "a:b", "1", "12", "1.5", "+1", "2026-09-02")
# How many of those that match are used.
_FEW = 3
_BY_FORMAT = {
    "date-time": ("2026-09-02T10:00:00Z", "2026-09-02T10:00:00.123456+02:00"),
    "date": ("2026-09-02", "2000-02-29"),
    "time": ("10:00:00", "23:59:59.5"),
    "duration": ("PT1H", "P1D"),
    "uuid": ("01a229a6-b480-7456-8047-23825e4a8bdd", "6f0b2ef4-7b1c-4a08-9a52-0a4c5b8d1e11"),
    "decimal": ("1.50", "0", "-2.25"),
    "uri": ("https://example.com/a",),
    "email": ("a@example.com",),
}
_BASE64 = ("", "AAECAw==")
_ANY: Sequence[Any] = (None, True, 0, 1, "a", [], [1, "a"], {}, {"a": 1})
_MOST_ITEMS, _DEEPEST = 3, 6

Schema = Mapping[str, Any]


class NoValueError(ValueError):
    """A schema for which no value is known: `place` is its path in the body."""

    def __init__(self, place: str, why: str) -> None:
        name = re.sub(r"\[\]$", "", place).rpartition(".")[2]
        super().__init__(f"no value is known for {place}: {why}; tell some: values={{{name!r}: […]}}")


class Values:
    """Makes values; `known` has values for members by name, which are used in place of the schema."""

    def __init__(self, seed: random.Random, known: Mapping[str, Sequence[Any]]) -> None:
        self._seed = seed
        self._known = known
        # Tried first for texts with a pattern, such as keys; the history changes them now and then.
        self.names: Sequence[str] = ()

    def body(self, schema: Schema) -> dict[str, Any]:
        """A body that a schema allows, as far as the schema can be followed.

        Raises:
            NoValueError: no value is known for a member that is required.
        """
        found: dict[str, Any] = self._value(schema, schema.get("$defs", {}), "$", _DEEPEST)
        return found

    def _value(self, schema: Schema, definitions: Mapping[str, Schema], place: str, depth: int) -> Any:
        if "$ref" in schema:
            schema = {**definitions[schema["$ref"].rpartition("/")[2]], **schema}
        if examples := schema.get("examples"):
            return self._seed.choice(examples)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._seed.choice(schema["enum"])
        for several in ("anyOf", "oneOf"):
            if several in schema:
                return self._value(self._one_of(schema[several]), definitions, place, depth)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = self._one_of([{"type": one} for one in kind])["type"]
        makes: dict[str | None, Callable[[], Any]] = {
            "string": lambda: self._text(schema, place),
            "integer": lambda: int(self._number(schema, (0, 1, 2, 3, 7, 1000), 1, place)),
            "number": lambda: self._number(schema, (0.0, 1.5, -2.25, 1000.0), 0.5, place),
            "boolean": lambda: self._seed.random() < 0.5,
            "null": lambda: None,
            "array": lambda: self._array(schema, definitions, place, depth),
            "object": lambda: self._object(schema, definitions, place, depth),
        }
        make = makes.get(kind)
        return self._seed.choice(_ANY) if make is None else make()

    def _one_of(self, kinds: Sequence[Schema]) -> Schema:
        others = [one for one in kinds if one.get("type") != "null"]
        if len(others) < len(kinds) and (not others or self._seed.random() < _NULL):
            return {"type": "null"}
        return self._seed.choice(others)

    def _text(self, schema: Schema, place: str) -> str:
        shortest, longest = schema.get("minLength", 0), schema.get("maxLength", 10_000)
        if schema.get("contentEncoding") == "base64":
            return str(self._seed.choice(_BASE64))
        words: Sequence[str] = _BY_FORMAT.get(schema.get("format", ""), _WORDS)
        if (pattern := schema.get("pattern")) is not None:
            try:
                words = [one for one in (*self.names, *_PATTERNED) if re.search(pattern, one)][:_FEW]
            except re.error as error:
                raise NoValueError(place, f"the pattern {pattern} is none of Python's ({error})") from error
        # The shortest and the longest text, where that has 200 characters at most.
        edges = ["x" * one for one in (shortest, longest) if pattern is None and one <= 200]
        fitting = [one for one in words if shortest <= len(one) <= longest]
        if "format" not in schema and edges and (not fitting or self._seed.random() < 0.1):
            return str(self._seed.choice(edges))
        if not fitting:
            raise NoValueError(place, f"none that is tried fits {pattern or schema}")
        return str(self._seed.choice(fitting))

    def _number(self, schema: Schema, usual: Sequence[float], step: float, place: str) -> float:
        low: float = schema.get("minimum", schema.get("exclusiveMinimum", float("-inf")))
        high: float = schema.get("maximum", schema.get("exclusiveMaximum", float("inf")))
        low += step * ("exclusiveMinimum" in schema)
        high -= step * ("exclusiveMaximum" in schema)
        every = schema.get("multipleOf")
        near = [one for edge in (low, high) for one in (edge, edge + step, edge - step)]
        # The usual values come three times, so that edges are rare.
        tried = [*usual, *usual, *usual, *(one for one in near if abs(one) < float("inf"))]
        tried = [one if every is None else one // every * every for one in tried]
        fitting = [one for one in tried if low <= one <= high]
        if not fitting:
            raise NoValueError(place, f"none that is tried is between {low} and {high}")
        return float(self._seed.choice(fitting))

    def _array(self, schema: Schema, definitions: Mapping[str, Schema], place: str, depth: int) -> list[Any]:
        first = [
            self._value(one, definitions, f"{place}[]", depth - 1) for one in schema.get("prefixItems", ())
        ]
        least = max(0, schema.get("minItems", 0) - len(first))
        most = max(least, min(schema.get("maxItems", _MOST_ITEMS) - len(first), _MOST_ITEMS))
        if (item := schema.get("items", {})) is False or (depth <= 0 and not least):
            return first
        count = self._seed.randint(least, most)
        return first + [self._value(item, definitions, f"{place}[]", depth - 1) for _ in range(count)]

    def _object(
        self, schema: Schema, definitions: Mapping[str, Schema], place: str, depth: int
    ) -> dict[str, Any]:
        required = set(schema.get("required", ()))
        made: dict[str, Any] = {}
        for name, member in schema.get("properties", {}).items():
            if name not in required and (depth <= 0 or self._seed.random() > _PRESENT):
                continue
            if name in self._known:
                made[name] = self._seed.choice(self._known[name])
                continue
            try:
                made[name] = self._value(member, definitions, f"{place}.{name}", depth - 1)
            except NoValueError:
                if name in required:
                    raise
        others = schema.get("additionalProperties", "properties" not in schema)
        if others and depth > 0 and self._seed.random() < 0.5:
            kind = others if isinstance(others, Mapping) else {}
            made["a"] = self._value(kind, definitions, f"{place}.a", depth - 1)
        return made
