"""The references of a schema, to its own parts and never in a circle, and the number of values with these."""

from collections.abc import Iterator
from typing import Any

from domain.errors import Invalid, TooLarge
from domain.json_values import step

# The most values in a schema, where each reference counts as its target. A schema whose parts each refer
# twice to the next one is small, and would take for ever.
MAXIMUM_WEIGHT = 5_000
# The most levels of a schema with each reference replaced by its target. The library's parser ends soon
# after.
MAXIMUM_DEPTH = 120
_LONGEST_PATH = 100


def short(path: str) -> str:
    """A path that fits into an answer."""
    return path if len(path) <= _LONGEST_PATH else path[: _LONGEST_PATH - 1] + "…"


class References:
    """The references in a schema, each of which is followed once."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._root = schema
        # The weight and depth of each reference's target; `None` while it is weighed, so that a circle is
        # noticed.
        self._known: dict[str, tuple[int, int] | None] = {"#": None}

    def require(self) -> int:
        """The number of the schema's values, if it is not too large and its references are allowed.

        Raises:
            Invalid, TooLarge: as `require_schema`.
        """
        if "$id" in self._root and not isinstance(self._root["$id"], str):
            raise Invalid("$id is a text", path='$.schema["$id"]')
        values = _count(self._root)
        weight = values if values > MAXIMUM_WEIGHT else self._weigh(self._root, "$.schema", 0)[0]
        if weight > MAXIMUM_WEIGHT:
            raise TooLarge(
                f"a schema has at most {MAXIMUM_WEIGHT} values, those that it refers to counted each time",
                hint="nothing was changed: refer to parts less often, or leave out what describes alone",
                limit=MAXIMUM_WEIGHT,
                size=min(weight, 10**9),
                path="$.schema",
            )
        return values

    def target(self, reference: str, path: str = "$.schema") -> Any:
        """The part that a reference points to."""
        if not reference.startswith("#/") or "%" in reference:
            raise Invalid(
                "a reference is to a part of the schema itself",
                hint="write it as #/$defs/name",
                path=short(path),
            )
        found: Any = self._root
        for name in _pointer(reference):
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isascii() and name.isdigit() and int(name) < len(found):
                found = found[int(name)]
            else:
                raise Invalid("there is nothing where this reference points", path=short(path))
        return found

    def _weigh(self, value: Any, path: str, depth: int) -> tuple[int, int]:
        """The number of values in a value with its references' targets, and of the levels below it."""
        if depth > MAXIMUM_DEPTH:
            raise _too_deep("$.schema")
        weight, levels = 1, 0
        for name, inner in _inner(value):
            here = path + (f"[{name}]" if isinstance(name, int) else step(name))
            if not isinstance(inner, str) or isinstance(name, int):
                found = self._weigh(inner, here, depth + 1)
            elif name == "$ref":
                found = self._weigh_target(inner, here, depth + 1)
            elif name in ("$dynamicRef", "$recursiveRef"):
                raise Invalid("a schema does not refer to itself", path=short(here))
            elif name in ("$id", "$anchor", "$dynamicAnchor") and value is not self._root:
                # References inside would be relative to that part, and would be counted with another target.
                raise Invalid("only the whole schema has a name", path=short(here))
            else:
                found = 1, 0
            weight, levels = weight + found[0], max(levels, found[1] + 1)
        return weight, levels

    def _weigh_target(self, reference: str, path: str, depth: int) -> tuple[int, int]:
        if reference not in self._known:
            self._known[reference] = None
            target = "$.schema" + "".join(map(step, _pointer(reference)))
            self._known[reference] = self._weigh(self.target(reference, path), target, depth)
        known = self._known[reference]
        if known is None:
            raise Invalid("a schema does not refer to itself", path=short(path))
        if depth + known[1] > MAXIMUM_DEPTH:
            raise _too_deep(path)
        return known


def _inner(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, list):
        yield from enumerate(value)
    elif isinstance(value, dict):
        yield from value.items()


def _too_deep(path: str) -> TooLarge:
    return TooLarge(
        f"a schema has at most {MAXIMUM_DEPTH} levels, those that it refers to counted",
        hint="nothing was changed: write it flatter, with fewer parts inside each other",
        limit=MAXIMUM_DEPTH,
        path=short(path),
    )


def _count(value: Any) -> int:
    """The number of values in a schema, counted up to the first one too many."""
    count = 0
    inside = [value]
    while inside and count <= MAXIMUM_WEIGHT:
        count += 1
        value = inside.pop()
        if isinstance(value, dict | list):
            inside += value.values() if isinstance(value, dict) else value
    return count


def _pointer(reference: str) -> Iterator[str]:
    """The names in a JSON pointer (RFC 6901)."""
    for name in reference.removeprefix("#/").split("/"):
        yield name.replace("~1", "/").replace("~0", "~")
