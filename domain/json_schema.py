"""JSON Schemas that others register: which are taken, and whether a document matches one.

A schema comes from anywhere, and is applied in a thread that everybody waits for. So it refers to nothing
outside of itself, has a limited size, also with every reference put in place, and the work that it makes has
a bound.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

import jsonschema_rs
import msgspec

from domain.errors import Invalid, TooLarge
from domain.json_values import step

MAXIMUM_SCHEMA_BYTES = 64 * 1024
# The most values in a schema, each reference counted as what it refers to. A part with two references to the
# next, which has two to the next, and so on, is small and takes for ever.
MAXIMUM_WEIGHT = 5_000
# The most of these values times the bytes of a document: two to four seconds of work, if all of a schema
# applied to all of a document.
MAXIMUM_WORK = 32_000_000
MAXIMUM_ERRORS = 20

_DIALECTS = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema#",
    "http://json-schema.org/draft-07/schema",
)
_CACHED_VALIDATORS = 128
_LONGEST_MESSAGE = 150
_LONGEST_PATH = 100
# The engine for regular expressions, in which none goes back and forth for ever.
_PATTERNS = jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000, size_limit=1_000_000)

Violation = dict[str, str]


def require_schema(schema: dict[str, Any]) -> None:
    """Returns if a schema can be registered.

    Raises:
        TooLarge: it has too many bytes, or weighs too much with its references put in place.
        Invalid: it is no schema, of another dialect, or refers to what is not a part of it, or to itself.
    """
    size = len(msgspec.json.encode(schema))
    if size > MAXIMUM_SCHEMA_BYTES:
        raise TooLarge(
            f"a schema has at most {MAXIMUM_SCHEMA_BYTES} bytes",
            limit_bytes=MAXIMUM_SCHEMA_BYTES,
            size_bytes=size,
            path="$.schema",
        )
    dialect = schema.get("$schema", _DIALECTS[0])
    if dialect not in _DIALECTS:
        raise Invalid(
            "the dialect of the schema is not known here",
            hint="leave $schema out for draft 2020-12; 2019-09 and draft 7 are known, too",
            path='$.schema["$schema"]',
        )
    try:
        _Weighing(schema).require()
        _validator(msgspec.json.encode(schema).decode())
    except jsonschema_rs.ValidationError as error:
        raise Invalid(_cut(error.message), path=_path("$.schema", error.instance_path)) from None
    except RecursionError:
        raise Invalid("its references go too deep", path="$.schema") from None
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        raise Invalid(_cut(str(error)), path="$.schema") from None


def violations(schema: str, document: dict[str, Any], path: str, *, limit: int) -> list[Violation]:
    """Where a document (its root called `path`) does not match a registered schema; empty if it does.

    At most `limit` of them, and never more than 20, as `{"path", "message"}`. Messages do not repeat values.

    Raises:
        TooLarge: the document is too large for such a schema.
    """
    size = len(msgspec.json.encode(document))
    most = MAXIMUM_WORK // _weight(schema)
    if size > most:
        raise TooLarge(
            f"with this schema, a document has at most {most} bytes",
            limit_bytes=most,
            size_bytes=size,
            path=path,
        )
    return [
        {"path": _path(path, error.instance_path), "message": _cut(error.message)}
        for error in islice(_validator(schema).iter_errors(document), max(1, min(limit, MAXIMUM_ERRORS)))
    ]


@lru_cache(maxsize=_CACHED_VALIDATORS)
def _validator(schema: str) -> Any:
    return jsonschema_rs.validator_for(
        schema, offline=True, mask="the value", validate_formats=True, pattern_options=_PATTERNS
    )


@lru_cache(maxsize=_CACHED_VALIDATORS)
def _weight(schema: str) -> int:
    return _Weighing(msgspec.json.decode(schema)).weight


class _Weighing:
    """The weight of a schema with its references put in place; each of its parts is weighed once."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._root = schema
        # The weight of each reference; `None` while it is being weighed, so that a circle is noticed.
        self._known: dict[str, int | None] = {"#": None}

    @property
    def weight(self) -> int:
        return self._weigh(self._root, "$.schema")

    def require(self) -> None:
        """Returns if the schema is not too heavy, and refers to its own parts only, and never in a circle.

        Raises:
            Invalid, TooLarge: as `require_schema`.
        """
        if "$id" in self._root and not isinstance(self._root["$id"], str):
            raise Invalid("$id is a text", path='$.schema["$id"]')
        weight = self.weight
        if weight > MAXIMUM_WEIGHT:
            raise TooLarge(
                f"a schema has at most {MAXIMUM_WEIGHT} values, those that it refers to counted each time",
                limit=MAXIMUM_WEIGHT,
                size=min(weight, 10**9),
                path="$.schema",
            )

    def _weigh(self, value: Any, path: str) -> int:
        if isinstance(value, list):
            return 1 + sum(self._weigh(each, f"{path}[{index}]") for index, each in enumerate(value))
        if not isinstance(value, dict):
            return 1
        weight = 1
        for name, inner in value.items():
            here = path + step(name)
            if not isinstance(inner, str):
                weight += self._weigh(inner, here)
            elif name == "$ref":
                weight += self._weigh_target(inner, here)
            elif name in ("$dynamicRef", "$recursiveRef"):
                raise Invalid("a schema does not refer to itself", path=_short(here))
            elif name in ("$id", "$anchor", "$dynamicAnchor") and value is not self._root:
                # References inside would be relative to that part, and would be counted as something else.
                raise Invalid("only the whole schema has a name", path=_short(here))
            else:
                weight += 1
        return weight

    def _weigh_target(self, reference: str, path: str) -> int:
        if reference not in self._known:
            self._known[reference] = None
            target = "$.schema" + "".join(map(step, _pointer(reference)))
            self._known[reference] = self._weigh(self._target(reference, path), target)
        weight = self._known[reference]
        if weight is None:
            raise Invalid("a schema does not refer to itself", path=_short(path))
        return weight

    def _target(self, reference: str, path: str) -> Any:
        if not reference.startswith("#/") or "%" in reference:
            raise Invalid(
                "a reference is to a part of the schema itself",
                hint="write it as #/$defs/name",
                path=_short(path),
            )
        found: Any = self._root
        for name in _pointer(reference):
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isascii() and name.isdigit() and int(name) < len(found):
                found = found[int(name)]
            else:
                raise Invalid("there is nothing where this reference points", path=_short(path))
        return found


def _pointer(reference: str) -> Iterator[str]:
    """The names in a JSON pointer (RFC 6901)."""
    for name in reference.removeprefix("#/").split("/"):
        yield name.replace("~1", "/").replace("~0", "~")


def _path(root: str, steps: list[str | int]) -> str:
    return _short(root + "".join(f"[{each}]" if isinstance(each, int) else step(each) for each in steps))


def _short(path: str) -> str:
    return path if len(path) <= _LONGEST_PATH else path[: _LONGEST_PATH - 1] + "…"


def _cut(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 1] + "…"
