"""The work that a schema makes: to build its validator, to check a document, to tell errors.

It is an upper bound. Every branch counts, and what is checked twice counts twice: `unevaluatedProperties`
checks once more what its neighbours accept, so the work of nested ones doubles with each level, and is soon
too much.

The schema alone gives a bound that grows with a document's size, as if the whole document stood where the
schema takes the most work. For most documents that bound is low enough. Otherwise the document is walked
through together with the schema, as far as its parts are large.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from domain.errors import TooLarge
from domain.json_schema.costs import NOTHING, Cost, Size, highest, total
from domain.json_schema.keywords import (
    APART,
    COMBINATIONS,
    CONDITIONS,
    KEYWORD_NS,
    NODE_BUILD_NS,
    UNEVALUATED,
    Keyword,
    combined,
    keywords,
    told,
    unevaluated,
)
from domain.json_schema.patterns import MAXIMUM_BUILD_NS, build_ns, pattern
from domain.json_schema.sizes import Sizes

# The most schemas in a schema: it takes some 20 µs to find out the cost of each.
MAXIMUM_SCHEMAS = 1_500
# The most values of a document that is walked through, and the most pairs of a schema and a part in a walk.
# Each takes some microseconds.
_MAXIMUM_VALUES = 4_000
_MAXIMUM_PARTS = 2_000
# A part is not walked through if its bound is below a 500th of the allowed work.
_SMALL_PART = 500
_TOO_MUCH = 1e18

Question = Literal["check", "errors"]


class Work(NamedTuple):
    """The costs of a schema where it is applied."""

    # Of checking whether a document matches.
    check: Cost = NOTHING
    # Of telling all errors.
    errors: Cost = NOTHING
    # Of telling one error.
    error: Cost = NOTHING
    # Of finding out which members and items it evaluated, for an unevaluated keyword of a schema around it.
    marks: Cost = NOTHING
    # Nanoseconds to build its validator, and its part in the validator of such a keyword.
    build: float = 0
    marks_build: float = 0
    keywords: tuple[Keyword, ...] = ()


class Works:
    """The work of each part of a schema, computed once. The schema has no circle of references.

    `target` finds the part that a reference points to; `asks` is whether the schema may have an unevaluated
    keyword.
    """

    def __init__(self, target: Callable[[str], Any], *, asks: bool) -> None:
        self._target = target
        # Without an unevaluated keyword, the costs of marks are not needed.
        self._asks = asks
        # By the identity of the part: its work is needed where it is applied, and again where its marks are.
        self._known: dict[int, Work] = {}
        self._referred: dict[str, Work] = {}
        self._schemas = 0
        self.targets_build = 0.0
        self._patterns: set[str] = set()
        self._patterns_build = 0.0
        # Regular expressions that are not taken, in the order in which they were found.
        self.refused_patterns: list[str] = []
        self.has_regex_format = False

    def of(self, schema: Any) -> Work:
        """The work of a schema: an object, or a boolean that accepts or refuses everything."""
        if not isinstance(schema, dict):
            return _BOOLEAN
        if id(schema) not in self._known:
            self._known[id(schema)] = self._of_object(schema)
        return self._known[id(schema)]

    def needed(self, question: Question, schema: Any, document: Any, size: Size, allowed: float) -> float:
        """The most nanoseconds that a question about a document takes; above `allowed`, it is not exact."""
        bound: float = getattr(self.of(schema), question).of(size)
        if bound <= allowed or size.number > _MAXIMUM_VALUES:
            return bound
        return _Walk(self, question, allowed).needed(schema, document)

    def _of_object(self, schema: dict[str, Any]) -> Work:
        self._schemas += 1
        if self._schemas > MAXIMUM_SCHEMAS:
            raise TooLarge(
                f"a schema has at most {MAXIMUM_SCHEMAS} schemas in it",
                hint="nothing was changed: leave out parts of it, which whoever sends can check",
                limit=MAXIMUM_SCHEMAS,
                path="$.schema",
            )
        self._look(schema)
        parts = list(keywords(schema))
        if isinstance(reference := schema.get("$ref"), str):
            parts.append(Keyword(schemas=((None, self._referred_to(reference)),), shared=True))
        marks = self._marks(schema) if self._asks else Work()
        asking = [name for name in UNEVALUATED if name in schema]
        parts += [unevaluated(schema[name], marks.check) for name in asking]
        works = [self._applied(part) for part in parts]
        return Work(
            check=total([_SCHEMA, *[work.check for work in works]]),
            errors=total([_SCHEMA, *[work.errors for work in works]]),
            error=highest([work.error for work in works]),
            marks=marks.check,
            build=NODE_BUILD_NS + sum(work.build for work in works) + marks.build * len(asking),
            marks_build=marks.build,
            keywords=tuple(parts),
        )

    def _look(self, schema: dict[str, Any]) -> None:
        """Notes the regular expressions, and the format, that are refused."""
        expressions = [schema.get("pattern"), *(_object(schema.get("patternProperties")))]
        for each in expressions:
            if isinstance(each, str) and each not in self._patterns:
                self._patterns.add(each)
                self._patterns_build += build_ns(each)
                # `pattern` builds an expression to find out its cost. That has to end if there are too many.
                if self._patterns_build > MAXIMUM_BUILD_NS and len(self._patterns) > 1:
                    raise TooLarge(
                        "the schema has too many regular expressions",
                        hint="nothing was changed: leave some out, or write shorter ones",
                        path="$.schema",
                    )
                if pattern(each).problem is not None:
                    self.refused_patterns.append(each)
        self.has_regex_format |= schema.get("format") == "regex"

    def _applied(self, keyword: Keyword) -> Work:
        """The work of a keyword with the schemas in it."""
        own = combined(keyword)
        # A keyword that a document violates is checked twice.
        told_by_itself = own.plus(own, keyword.errors)
        if not keyword.schemas:
            return Work(own, told_by_itself, keyword.error, build=keyword.build)
        inner = [self.of(schema) for _, schema in keyword.schemas]
        once = [_in(keyword, work.check) for work in inner]
        both = highest if keyword.reach in APART else total
        check = both(once)
        errors = check.times(keyword.asked_again)
        one = highest(work.error for work in inner) if keyword.tells else NOTHING
        if keyword.tells:
            errors = errors.plus(both([_in(keyword, work.errors) for work in inner]))
            if keyword.asked_again:
                one = errors
        return Work(
            check=own.plus(check.times(keyword.asked)),
            errors=told_by_itself.plus(errors),
            error=keyword.error.plus(one),
            build=keyword.build + (NODE_BUILD_NS if keyword.shared else sum(work.build for work in inner)),
        )

    def _referred_to(self, reference: str) -> Any:
        target = self._target(reference)
        if reference not in self._referred:
            self._referred[reference] = self.of(target)
            # Its validator is built once, and shared.
            self.targets_build += self._referred[reference].build
        return target

    def _marks(self, schema: dict[str, Any]) -> Work:
        """The work of finding out which members and items a schema evaluated: its `check` and `build`."""
        checks = [Cost(KEYWORD_NS, 250)]
        build: float = NODE_BUILD_NS
        for branch in map(self.of, self._in_place(schema)):
            checks += (branch.check, branch.marks)
            build += branch.build + branch.marks_build
        for expression, inner in _object(schema.get("patternProperties")).items():
            checks.append(pattern(expression).match.each())
            build += self.of(inner).build
        for name in ("contains", "additionalProperties", *UNEVALUATED):
            if name in schema:
                checks.append(self.of(schema[name]).check.each())
                build += self.of(schema[name]).build
        return Work(check=total(checks), build=build)

    def _in_place(self, schema: dict[str, Any]) -> Iterator[Any]:
        for name in COMBINATIONS:
            if isinstance(branches := schema.get(name), list):
                yield from branches
        yield from (schema[name] for name in CONDITIONS if name in schema)
        yield from _object(schema.get("dependentSchemas")).values()
        if isinstance(reference := schema.get("$ref"), str):
            yield self._target(reference)


class _Walk:
    """A walk through a document together with a schema, down to parts whose cost is too small to matter."""

    def __init__(self, works: Works, question: Question, allowed: float) -> None:
        self._works = works
        self._question = question
        self._allowed = allowed
        self._sizes = Sizes()
        self._parts = 0
        self._known: dict[tuple[str, int, int], float] = {}

    def needed(self, schema: Any, value: Any) -> float:
        return self._needed(self._question, schema, value)

    def _needed(self, question: Question, schema: Any, value: Any) -> float:
        work = self._works.of(schema)
        size = self._sizes.of(value)
        bound: float = getattr(work, question).of(size)
        if bound <= self._allowed / _SMALL_PART:
            return bound
        known = (question, id(schema), id(value))
        if known not in self._known:
            self._parts += 1
            if self._parts > _MAXIMUM_PARTS:
                return _TOO_MUCH
            self._known[known] = sum(
                (self._keyword(question, each, value, size) for each in work.keywords), float(KEYWORD_NS)
            )
        return min(bound, self._known[known])

    def _keyword(self, question: Question, keyword: Keyword, value: Any, size: Size) -> float:
        needed = keyword.check.of(size) + keyword.names.of(_names(value))
        if isinstance(value, str):
            needed += keyword.text.of(size)
        asked = keyword.asked
        if question == "errors":
            needed += needed + keyword.errors.of(size)
            asked = keyword.asked_again
        for key, schema in keyword.schemas:
            for part in _reached(keyword, key, value):
                if asked:
                    needed += asked * self._needed("check", schema, part)
                if question == "errors" and keyword.tells:
                    needed += self._needed("errors", schema, part)
                if needed > self._allowed:
                    return needed
        return needed


def _reached(keyword: Keyword, key: Any, value: Any) -> Iterator[Any]:
    """The parts of a value that a schema in a keyword is applied to."""
    if keyword.reach == "value":
        yield value
    elif isinstance(value, list):
        if keyword.reach == "inside":
            yield from value
        elif keyword.reach == "places" and key < len(value):
            yield value[key]
    elif isinstance(value, dict):
        if keyword.reach == "inside":
            yield from value.values()
        elif keyword.reach == "others":
            yield from (each for name, each in value.items() if name not in key)
        elif keyword.reach == "names":
            yield from value
        elif key in value and keyword.reach in ("named", "if"):
            yield value[key] if keyword.reach == "named" else value


def _names(value: Any) -> Size:
    if not isinstance(value, dict):
        return _NO_NAMES
    return Size(len(value), 4 * sum(map(len, value)), 0, 0, 0, 0)


def _in(keyword: Keyword, cost: Cost) -> Cost:
    return cost if keyword.reach in ("value", "if") else cost.each()


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


_SCHEMA = Cost(KEYWORD_NS)
_NO_NAMES = Size(0, 0, 0, 0, 0, 0)
_BOOLEAN = Work(Cost(KEYWORD_NS), told(False), told(False), build=NODE_BUILD_NS)
