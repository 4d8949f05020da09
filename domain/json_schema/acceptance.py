"""Accepting schemas, and matching documents against them."""

from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import jsonschema_rs
import msgspec

from domain.errors import Invalid, Refusal, RuleViolated, TooLarge
from domain.json_schema.budget import Budget
from domain.json_schema.costs import Size
from domain.json_schema.patterns import ENGINE, pattern
from domain.json_schema.references import References, short
from domain.json_schema.sizes import size_of
from domain.json_schema.work import Question, Works
from domain.json_values import step

MAXIMUM_SCHEMA_BYTES = 64 * 1024
MAXIMUM_ERRORS = 20
# The rule that is violated where a schema was registered once and would be refused today.
RULE = "schema_is_still_taken"

# The most nanoseconds that building, checking and telling errors may need by their upper bounds. As a rule
# they take far less, since the bounds count every branch. Together they stay below 100 ms, even on a machine
# twice as slow as the measured one.
_BUILD_NS = 20_000_000
_CHECK_NS = 15_000_000
_ERRORS_NS = 20_000_000
_VALUE_BUILD_NS = 1_500
# The cost, for each byte, of finding out how much work a schema or a document makes.
_SCHEMA_BYTE_NS = 1_500
_DOCUMENT_BYTE_NS = 40
_DEEPEST_DOCUMENT = 100
# The path of an error is written four times: one of this length takes as long as the rest, 10 µs.
_PATH_BYTES = 2_000
# A schema that is too much work for a document of this size is refused at once.
_SMALL_DOCUMENT = Size(values=50, size_bytes=1_000, pairs=500, members=500, path_bytes=50, depth=5)

_WRITE_IT_ANEW = "nothing was stored: correct the schema there, and register it again"
_DIALECTS = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema#",
    "http://json-schema.org/draft-07/schema",
)
_CACHED_SCHEMAS = 128
_LONGEST_MESSAGE = 150

Violation = dict[str, str]


class _Taken(NamedTuple):
    schema: dict[str, Any]
    validator: Any
    works: Works
    build_ns: float

    def needs(self, question: Question, document: dict[str, Any], size: Size, allowed: float) -> float:
        return self.works.needed(question, self.schema, document, size, allowed)


def require_schema(schema: dict[str, Any], budget: Budget) -> None:
    """Returns if a schema can be registered.

    Raises:
        TooLarge: it has too many bytes or values, or makes too much work, by itself or beyond the budget.
        Invalid: it is no schema, is of another dialect, refers to anything but its own parts, or to itself,
            or has a regular expression that could take for ever.
    """
    budget.take()
    refusal = _within(budget, msgspec.json.encode(schema).decode())
    if isinstance(refusal, Refusal):
        raise _again(refusal)


def problem_of(schema: str) -> str | None:
    """Why a schema that was registered once would be refused today; `None` if it would not."""
    found = _refusal_or_taken(schema)
    if not isinstance(found, Refusal):
        return None
    return f"{found.message} ({found.details.get('path', '$.schema')})"


def violations(
    schema: str, document: dict[str, Any], path: str, *, limit: int, budget: Budget
) -> list[Violation]:
    """The places where a document does not match a registered schema; `path` is the name of its root.

    The list is empty if it matches. It has at most `limit` violations, and never more than 20, as
    `{"path", "message"}`. Messages do not repeat values. For a large document, only the first violation is
    told, or only that there is one.

    Raises:
        TooLarge: the document is too large for such a schema, or there is too much work for the budget.
        RuleViolated: the schema would be refused today, and is not applied.
    """
    taken = _within(budget, schema)
    if isinstance(taken, Refusal):
        raise RuleViolated(
            RULE,
            f"the registered schema would be refused today: {_cut(taken.message)}",
            hint="register another one with tool_configs.register_schema, or end it with "
            "tool_configs.remove_schema; the configuration stays as it is",
            schema_path=taken.details.get("path", "$.schema"),
        )
    size_bytes = len(msgspec.json.encode(document))
    budget.take(size_bytes * _DOCUMENT_BYTE_NS)
    size = size_of(document, size_bytes)
    if size.depth > _DEEPEST_DOCUMENT:
        raise TooLarge(
            f"with a schema, a document has at most {_DEEPEST_DOCUMENT} levels",
            hint="nothing was changed: write it flatter, or take the schema away",
            limit=_DEEPEST_DOCUMENT,
            size=size.depth,
            path=path,
        )
    needed = taken.needs("check", document, size, _CHECK_NS)
    if needed > _CHECK_NS:
        most = int(size.size_bytes * _CHECK_NS / needed)
        raise TooLarge(
            f"with this schema, such a document has at most some {most} bytes",
            hint="the more a schema applies to each value, the smaller are the documents that it goes with",
            limit_bytes=most,
            size_bytes=size.size_bytes,
            path=path,
        )
    budget.take(needed)
    if taken.validator.is_valid(document):
        return []
    return [
        {"path": _path(path, error.instance_path), "message": _cut(error.message)}
        for error in islice(_errors(taken, document, size, budget), max(1, min(limit, MAXIMUM_ERRORS)))
    ] or [{"path": path, "message": "it does not match the schema, and is too large to tell where"}]


def _errors(taken: _Taken, document: dict[str, Any], size: Size, budget: Budget) -> Any:
    paths = 1 + size.path_bytes / _PATH_BYTES
    needed = taken.needs("errors", document, size, _ERRORS_NS / paths) * paths
    if needed <= _ERRORS_NS:
        budget.take(needed)
        return taken.validator.iter_errors(document)
    needed = taken.works.of(taken.schema).error.of(size) * paths
    if needed <= _ERRORS_NS:
        budget.take(needed)
        try:
            taken.validator.validate(document)
        except jsonschema_rs.ValidationError as error:
            return iter((error,))
    return iter(())


def _within(budget: Budget, schema: str) -> _Taken | Refusal:
    is_new = budget.is_new(schema)
    budget.take(min(len(schema), MAXIMUM_SCHEMA_BYTES) * _SCHEMA_BYTE_NS if is_new else 0)
    found = _refusal_or_taken(schema)
    if is_new and isinstance(found, _Taken):
        # Taken afterwards, since building alone tells the cost; `_take` has kept it within its limit.
        budget.take(found.build_ns)
    return found


@lru_cache(maxsize=_CACHED_SCHEMAS)
def _refusal_or_taken(schema: str) -> _Taken | Refusal:
    # Refusals are cached, too, since examining a schema again is work.
    try:
        return _take(schema)
    except Refusal as refusal:
        return _again(refusal)


def _again(refusal: Refusal) -> Refusal:
    """The same refusal, without the traceback of where it was raised."""
    return type(refusal)(refusal.message, hint=refusal.hint, **refusal.details)


def _take(text: str) -> _Taken:
    size = len(text.encode())
    if size > MAXIMUM_SCHEMA_BYTES:
        raise TooLarge(
            f"a schema has at most {MAXIMUM_SCHEMA_BYTES} bytes",
            hint="nothing was changed: leave out descriptions and examples, or refer to what it has twice",
            limit_bytes=MAXIMUM_SCHEMA_BYTES,
            size_bytes=size,
            path="$.schema",
        )
    schema = msgspec.json.decode(text)
    dialect = schema.get("$schema", _DIALECTS[0])
    if dialect not in _DIALECTS:
        raise Invalid(
            "the dialect of the schema is not known here",
            hint="leave $schema out for draft 2020-12; 2019-09 and draft 7 are known, too",
            path='$.schema["$schema"]',
        )
    references = References(schema)
    values = references.require()
    works = Works(references.target, asks="unevaluated" in text)
    work = works.of(schema)
    build_ns = work.build + works.targets_build + values * _VALUE_BUILD_NS
    _require_bounded(schema, works, build_ns)
    if work.check.of(_SMALL_DOCUMENT) > _CHECK_NS:
        raise TooLarge(
            "the schema makes too much work even for small documents",
            hint="nested unevaluatedProperties and unevaluatedItems double it with each level, "
            "which additionalProperties does not",
            path="$.schema",
        )
    return _Taken(schema, _built(text, schema), works, build_ns)


def _require_bounded(schema: dict[str, Any], works: Works, build_ns: float) -> None:
    for expression in works.refused_patterns:
        found = pattern(expression)
        raise Invalid(
            found.problem or "a regular expression of the schema is not taken",
            hint=found.hint or _WRITE_IT_ANEW,
            path=_place(schema, "pattern", expression),
            pattern=_cut(expression),
        )
    if works.has_regex_format:
        raise Invalid(
            "the format regex is not checked here: how long that takes has no bound",
            hint="leave it out, or say what may be written with a pattern",
            path=_place(schema, "format", "regex"),
        )
    if build_ns > _BUILD_NS:
        raise TooLarge(
            "the schema takes too long to build",
            hint="it has too many parts or regular expressions, or nested unevaluatedProperties",
            path="$.schema",
        )


def _built(text: str, schema: dict[str, Any]) -> Any:
    try:
        return jsonschema_rs.validator_for(
            text, offline=True, mask="the value", validate_formats=True, pattern_options=ENGINE
        )
    except jsonschema_rs.ValidationError as error:
        wrong = _found(schema, error.instance_path)
        found = pattern(wrong) if isinstance(wrong, str) and error.instance_path[-1:] == ["pattern"] else None
        problem = found.problem if found else None
        raise Invalid(
            problem or _cut(error.message),
            hint=(found and found.hint) or _WRITE_IT_ANEW,
            path=_path("$.schema", error.instance_path),
        ) from None
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        raise Invalid(_cut(str(error)), path="$.schema") from None


def _found(value: Any, steps: list[str | int]) -> Any:
    for each in steps:
        value = value[each]
    return value


def _place(schema: dict[str, Any], name: str, wanted: str) -> str:
    """The path of the first member with such a name and value, or of the first pattern of properties."""
    inside: list[tuple[Any, str]] = [(schema, "$.schema")]
    while inside:
        value, path = inside.pop()
        if isinstance(value, list):
            inside += [(each, f"{path}[{index}]") for index, each in enumerate(value)]
        elif isinstance(value, dict):
            if value.get(name) == wanted:
                return short(path + step(name))
            patterns = value.get("patternProperties")
            if isinstance(patterns, dict) and wanted in patterns:
                return short(f"{path}.patternProperties{step(wanted)}")
            inside += [(each, path + step(key)) for key, each in value.items()]
    return "$.schema"


def _path(root: str, steps: list[str | int]) -> str:
    return short(root + "".join(f"[{each}]" if isinstance(each, int) else step(each) for each in steps))


def _cut(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 1] + "…"
