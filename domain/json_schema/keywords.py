"""The cost of each keyword of a schema by itself, and the parts of a document that it applies schemas to."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from domain.json_schema.costs import NOTHING, Cost, total
from domain.json_schema.patterns import pattern
from domain.json_schema.sizes import number_weight

KEYWORD_NS = 60
NODE_BUILD_NS = 6_000
_NUMBER_NS = 150
_MEMBER_NS = 80
_NAME_NS = 30
_ERROR_NS = 12_000
# An error has a copy of the value that it is about: the cost for each value in it, and for each byte of text.
_COPIED_VALUE_NS, _COPIED_BYTE_NS = 700, 4

CONDITIONS = ("if", "then", "else")
COMBINATIONS = ("allOf", "anyOf", "oneOf")
UNEVALUATED = ("unevaluatedProperties", "unevaluatedItems")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_LENGTHS = ("minLength", "maxLength", "contentMediaType", "contentEncoding")
_OTHERS = ("type", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains")
_FORMAT_BYTE_NS = {"idn-hostname": 400.0, "idn-email": 50.0, "email": 50.0}

# The parts of a value that schemas are applied to: `value` is the value itself, and `if` the same, provided
# that it has a certain member; `named` are members by their names, and `others` all but certain names;
# `inside` are all members or items, and `places` the items by their places; `names` are the names of the
# members.
Reach = Literal["value", "if", "named", "others", "inside", "places", "names"]
# With these, at most one of the keyword's schemas is applied to each part of a document.
APART = ("named", "places")


class Keyword(NamedTuple):
    """The costs of a keyword."""

    # Of checking a value; in addition, of checking a text, and the names of members.
    check: Cost = NOTHING
    text: Cost = NOTHING
    names: Cost = NOTHING
    # Of telling all of its errors, and one, without those of the schemas in it.
    errors: Cost = NOTHING
    error: Cost = NOTHING
    # The parts that its schemas are applied to, and the schemas, each with the name or place that selects a
    # part.
    reach: Reach = "value"
    schemas: tuple[tuple[Any, Any], ...] = ()
    # How often its schemas are checked: for a check, and again to tell errors; and whether theirs are told,
    # too.
    asked: int = 1
    asked_again: int = 0
    tells: bool = True
    build: float = 0
    # Whether its schema is built elsewhere.
    shared: bool = False


def told(keyword: Any) -> Cost:
    """The cost of telling an error, with copies of the value that it is about and of the keyword."""
    return Cost(_ERROR_NS + 250 * _values(keyword), _COPIED_VALUE_NS, _COPIED_BYTE_NS)


def keywords(schema: dict[str, Any]) -> Iterator[Keyword]:
    """The costs of the keywords of a schema, except for its unevaluated keywords."""
    for name, value in schema.items():
        if isinstance(value, list) and name in COMBINATIONS:
            yield _combination(name, value)
        elif name in _APPLIED and isinstance(value, _SHAPES.get(name, dict | bool)):
            yield _APPLIED[name](schema, name, value)
        else:
            yield _assertion(name, value)


def unevaluated(value: Any, marks: Cost) -> Keyword:
    """The cost of an unevaluated keyword; `marks` is that of finding out what its neighbours evaluated."""
    check = marks.plus(Cost(KEYWORD_NS, 2 * _MEMBER_NS))
    return Keyword(
        check, errors=check.plus(told(value)), error=told(value), reach="inside", schemas=((None, value),),
        asked=2, asked_again=2, tells=False,
    )  # fmt: skip


def _combination(name: str, branches: list[Any]) -> Keyword:
    schemas = tuple(enumerate(branches))
    if name == "allOf":
        return Keyword(Cost(KEYWORD_NS), schemas=schemas)
    # The error tells what is wrong with each of the branches.
    error = told(None)
    return Keyword(Cost(KEYWORD_NS), errors=error, error=error, schemas=schemas, asked_again=1)


def _condition(schema: dict[str, Any], name: str, value: Any) -> Keyword:
    return Keyword(schemas=((None, value),), asked_again=name == "if", tells=name != "if")


def _not(schema: dict[str, Any], name: str, value: Any) -> Keyword:
    error = told(value)
    return Keyword(errors=error, error=error, schemas=((None, value),), asked_again=1, tells=False)


def _contains(schema: dict[str, Any], name: str, value: Any) -> Keyword:
    error = told(value)
    check = Cost(KEYWORD_NS, _MEMBER_NS)
    return Keyword(
        check, errors=error.plus(check), error=error, reach="inside", schemas=((None, value),), asked=2,
        asked_again=2, tells=False,
    )  # fmt: skip


def _items(schema: dict[str, Any], name: str, value: Any) -> Keyword:
    if isinstance(value, list):
        return _places(schema, name, value)
    error = told(value)
    return Keyword(
        Cost(KEYWORD_NS, _MEMBER_NS), errors=error, error=error, reach="inside", schemas=((None, value),)
    )


def _places(schema: dict[str, Any], name: str, value: Any) -> Keyword:
    return Keyword(Cost(KEYWORD_NS + 10 * len(value)), reach="places", schemas=tuple(enumerate(value)))


def _properties(schema: dict[str, Any], name: str, value: Any) -> Keyword:
    own = Cost(KEYWORD_NS + _NAME_NS * len(value))
    return Keyword(own, names=Cost(0, _MEMBER_NS), reach="named", schemas=tuple(value.items()))


def _by_pattern(schema: dict[str, Any], name: str, value: Any) -> Keyword:
    return Keyword(
        Cost(KEYWORD_NS),
        names=_matched(value),
        reach="inside",
        schemas=tuple(value.items()),
        build=sum(pattern(each).build for each in value),
    )


def _matched(patterns: Any) -> Cost:
    patterns = patterns if isinstance(patterns, dict) else ()
    return Cost(0, _MEMBER_NS).plus(*(pattern(each).match.each() for each in patterns))


def _additional(schema: dict[str, Any], name: str, value: Any) -> Keyword:
    # The members that are left follow from the neighbours: from their names, and their patterns once more.
    named = schema.get("properties")
    named = frozenset(named) if isinstance(named, dict) else frozenset()
    error = told(value)
    return Keyword(
        Cost(KEYWORD_NS + _NAME_NS * len(named)),
        names=_matched(schema.get("patternProperties")),
        errors=error,
        error=error,
        reach="others",
        schemas=((named, value),),
    )


def _property_names(schema: dict[str, Any], name: str, value: Any) -> Keyword:
    # The error of each wrong name has a copy of the whole object.
    copies = Cost(0, _ERROR_NS, 0, 0, _COPIED_VALUE_NS + 20 * _COPIED_BYTE_NS)
    return Keyword(
        Cost(KEYWORD_NS, _MEMBER_NS),
        errors=copies.plus(told(value)),
        error=told(value),
        reach="names",
        schemas=((None, value),),
    )


def _dependent(schema: dict[str, Any], name: str, value: Any) -> Keyword:
    lists = [each for each in value.values() if isinstance(each, list)]
    named = _assertion("required", [each for names in lists for each in names])
    own = Cost(KEYWORD_NS + _NAME_NS * len(value)).plus(named.check)
    schemas = tuple((key, each) for key, each in value.items() if not isinstance(each, list))
    return Keyword(own, errors=named.errors, error=named.error, reach="if", schemas=schemas)


def _assertion(name: str, value: Any) -> Keyword:
    """The costs of a keyword without schemas in it; none if it checks nothing, like `description`."""
    count, build = 1, 0.0
    check = text = NOTHING
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name == "pattern" and isinstance(value, str):
        text, build = pattern(value).match, pattern(value).build
    elif name == "format" and isinstance(value, str):
        text = Cost(500, 0, _FORMAT_BYTE_NS.get(value, 20.0))
    elif name in _LENGTHS:
        text = Cost(KEYWORD_NS, 0, 20)
    elif name == "required" and isinstance(value, list):
        check, count = Cost(KEYWORD_NS + _NAME_NS * len(value)), len(value)
    elif name in _NUMBERS and number:
        check = Cost(_NUMBER_NS * number_weight(value), _NUMBER_NS)
    elif name in ("enum", "const"):
        options = value if name == "enum" and isinstance(value, list) else [value]
        check = Cost(KEYWORD_NS + sum(map(_comparison, options)), _NUMBER_NS * _numbers(options), 1)
    elif name == "uniqueItems" and value is True:
        # Up to fifteen items are compared with each other, more by a digest. Arrays that differ in their
        # brackets alone have the same digest, and are compared with each other, too.
        check = Cost(KEYWORD_NS, 1_500, 2, 60)
    elif name in _OTHERS:
        check = Cost(KEYWORD_NS)
    if check == text:
        return Keyword()
    error = told(None if name == "required" else value)
    return Keyword(check, text, errors=error.times(count), error=error, build=build)


def _comparison(value: Any) -> float:
    """Nanoseconds to compare a value of a document with this one."""
    if isinstance(value, bool) or value is None:
        return 10
    if isinstance(value, int | float):
        return _NUMBER_NS * number_weight(value)
    if isinstance(value, str):
        return 10 + len(value) / 5
    inner = value.values() if isinstance(value, dict) else value
    return 200 + sum(800 + _comparison(each) for each in inner)


def _numbers(value: Any) -> int:
    if isinstance(value, dict | list):
        return sum(map(_numbers, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _values(value: Any) -> int:
    """The number of values in a keyword; a long text counts as several."""
    count = 0
    inside = [value]
    while inside:
        each = inside.pop()
        count += 1
        if isinstance(each, dict):
            inside += each.values()
            count += len(each)
        elif isinstance(each, list):
            inside += each
        elif isinstance(each, str):
            count += len(each) // 50
    return count


def combined(keyword: Keyword) -> Cost:
    """The cost of checking a keyword without the schemas in it."""
    if keyword.text is NOTHING and keyword.names is NOTHING:
        return keyword.check
    return total((keyword.check, keyword.text, keyword.names))


# The types of these keywords, where they are no single schema. The library refuses other types.
_SHAPES: dict[str, Any] = {
    "items": dict | bool | list,
    "prefixItems": list,
    "properties": dict,
    "patternProperties": dict,
    "dependentSchemas": dict,
    "dependencies": dict,
    "dependentRequired": dict,
}
_APPLIED = {
    **dict.fromkeys(CONDITIONS, _condition),
    "not": _not,
    "contains": _contains,
    "items": _items,
    "additionalItems": _items,
    "prefixItems": _places,
    "properties": _properties,
    "patternProperties": _by_pattern,
    "additionalProperties": _additional,
    "propertyNames": _property_names,
    "dependentSchemas": _dependent,
    "dependencies": _dependent,
    "dependentRequired": _dependent,
}
