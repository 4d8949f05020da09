"""The sources of tables' classes, with a method for each command and query."""

import keyword
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from inspect import cleandoc
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from bus.contract.log_answers import EventPage
from bus.serving.queries.reading import QueryVerb
from domain.component_names import component_name
from domain.decider import Verb
from hyperpage_client.asking.outgoing import Cause
from ops.contract.client_types.python.shapes import Words, default_of, docstring, named
from ops.contract.client_types.python.types import of_answer, of_argument
from projections.table import Count, GroupedCount

# The argument of each query for the time that its answer may take; for a list, that of each page.
_PATIENCE = "timeout_seconds: float = ANSWER_SECONDS"

Fields = Sequence[tuple[msgspec.structs.FieldInfo, str]]
# Names in a method beside the fields of the message that it sends.
_OF_METHODS = frozenset({"self", "given", "timeout_seconds"})
_OF_COMMANDS = _OF_METHODS | {"about", "command", *Cause.__annotations__}


def queries_of(table: str, queries: Mapping[str, QueryVerb], words: Words) -> Iterator[str]:
    """The source of a class with a method for each query of a table; `words` are the named closed sets."""
    yield f"class {component_name(table)}Queries(Table):"
    yield from docstring(f"The queries of `{table}`.", "    ")
    for name, query in queries.items():
        yield from _of_query(name, query, words)


def commands_of(table: str, verbs: Mapping[str, Verb], words: Words) -> Iterator[str]:
    """The source of a table's class: its queries, and a method for each command."""
    yield f"class {component_name(table)}({component_name(table)}Queries):"
    yield from docstring(f"The commands and queries of `{table}`.", "    ")
    for name, verb in verbs.items():
        yield from _of_command(name, verb, words, "commands.")


def whole_table(
    table: str, name: str, verbs: Mapping[str, Verb], queries: Mapping[str, QueryVerb], words: Words
) -> Iterator[str]:
    """The source of a table's class with all of its methods; its commands' structs are in the same module."""
    yield f"class {name}(Table):"
    yield from docstring(f"The commands and queries of `{table}`, for a client: `{name}(client)`.", "    ")
    for verb_name, verb in verbs.items():
        yield from _of_command(verb_name, verb, words, "")
    for query_name, query in queries.items():
        yield from _of_query(query_name, query, words)


def in_threads(table: str, verbs: Mapping[str, Verb], queries: Mapping[str, QueryVerb]) -> Iterator[str]:
    """The source of a table's class for programs without an event loop."""
    name = component_name(table)
    yield f"class {name}(Table):"
    yield from docstring(f"The commands and queries of `{table}`; each call returns with its answer.", "    ")
    yield from _waiting(f"{table}.{name}", verbs, queries)


def whole_table_in_threads(
    name: str, verbs: Mapping[str, Verb], queries: Mapping[str, QueryVerb]
) -> Iterator[str]:
    """The same for a table whose own class is in the same module."""
    yield f"class Sync{name}(SyncTable):"
    text = f"The same for a client of `hyperpage_client.sync`: `Sync{name}(client)`."
    yield from docstring(text, "    ")
    yield "    def __init__(self, client: SyncClient) -> None:"
    yield f"        super().__init__(client.portal, {name}(client.underlying))"
    yield ""
    yield from _waiting(name, verbs, queries)


def _waiting(where: str, verbs: Mapping[str, Verb], queries: Mapping[str, QueryVerb]) -> Iterator[str]:
    for verb in verbs:
        yield f"    {_method(verb)} = asked({where}.{_method(verb)})"
    for verb, query in queries.items():
        way = "iterated" if _is_iterated(query) else "asked"
        yield f"    {_method(verb)} = {way}({where}.{_method(verb)})"
        if query.gives is GroupedCount:
            yield f"    count_by = asked({where}.count_by)"


def _of_command(name: str, verb: Verb, words: Words, where: str) -> Iterator[str]:
    shape = verb.command
    fields = _fields(shape, words)
    about = "SentToAny" if any(field.name == "expected_version" for field, _ in fields) else "Sent"
    result = "None" if verb.result is None else of_answer(verb.result)
    arguments = _arguments(fields, f"**about: Unpack[{about}]", taken=_OF_COMMANDS)
    yield f"    async def {_method(name)}(self, {arguments}) -> Answer[{result}]:"
    yield from docstring(shape.__doc__ or "", "        ")
    yield f"        command = {where}{shape.__name__}({_handed_on(fields, _OF_COMMANDS)})"
    yield f"        return await self._send(command, {result}, about)"


def _of_query(name: str, query: QueryVerb, words: Words) -> Iterator[str]:
    shape = query.shape
    left_out = _left_out(query)
    fields = [(field, kind) for field, kind in _fields(shape, words) if field.name not in left_out]
    arguments = _arguments(fields, others=(_PATIENCE,))
    head, asked = f"{_method(name)}(self, {arguments})", f'"{name}", given({_given(fields)})'
    about = docstring(cleandoc(shape.__doc__ or ""), "        ")
    if query.gives is EventPage:
        yield from (f"    def {head} -> AsyncIterator[ChangeEvent]:", *about)
        yield f"        return self._items({asked}, ChangeEvent, timeout_seconds)"
    elif _is_iterated(query):
        item = of_answer(_item_of(query.gives))
        yield from (f"    def {head} -> AsyncIterator[{item}]:", *about)
        yield f"        return self._items({asked}, {item}, timeout_seconds)"
    elif query.gives is Count:
        yield from (f"    async def {head} -> int:", *about)
        yield f"        return (await self._ask({asked}, Count, timeout_seconds)).count"
    elif query.gives is GroupedCount:
        yield from _grouped(name, query, about, words)
    else:
        yield from (f"    async def {head} -> {of_answer(query.gives)}:", *about)
        yield f"        return await self._ask({asked}, {of_answer(query.gives)}, timeout_seconds)"


def _grouped(name: str, query: QueryVerb, about: Iterable[str], words: Words) -> Iterator[str]:
    """The source of two methods: `count`, and `count_by` for the counts by the values of a column."""
    fields = _fields(query.shape, words)
    [by] = [kind for field, kind in fields if field.name == "by"]
    filters = [one for one in fields if one[0].name != "by"]
    handed_on, arguments = _given(filters), _arguments(filters, others=(_PATIENCE,))
    yield from (f"    async def count(self, {arguments}) -> int:", *about)
    yield f'        return (await self._ask("{name}", given({handed_on}), Count, timeout_seconds)).count'
    arguments = f"by: {by.removesuffix(' | None')}, {arguments}"
    yield f"    async def count_by(self, {arguments}) -> tuple[CountedValue, ...]:"
    yield '        """How many rows have each value of a column, the most frequent first, 1,000 at most."""'
    yield f"        asked = given(by=by, {handed_on})"
    yield f'        answer = await self._ask("{name}", asked, GroupedCount, timeout_seconds)'
    yield "        return answer.groups or ()"


def _method(name: str) -> str:
    method = name.partition(".")[2]
    return f"{method}_" if keyword.iskeyword(method) else method


def _is_iterated(query: QueryVerb) -> bool:
    """Whether the answer to a query comes in pages."""
    names = {field.name for field in msgspec.structs.fields(query.shape)}
    return "after" in names and {"items", "next"} <= set(
        get_type_hints(get_origin(query.gives) or query.gives)
    )


def _left_out(query: QueryVerb) -> set[str]:
    """The fields of a query that the client sets by itself."""
    return {"after"} if _is_iterated(query) and query.gives is not EventPage else set()


def _item_of(page: Any) -> Any:
    if arguments := get_args(page):
        return arguments[0]
    return get_args(get_type_hints(page)["items"])[0]


def _fields(shape: type[msgspec.Struct], words: Words) -> Fields:
    """The fields of a struct with their types; required ones come first."""
    hints = get_type_hints(shape, include_extras=True)
    fields = [
        (field, named(hints[field.name], of_argument, words)) for field in msgspec.structs.fields(shape)
    ]
    return sorted(fields, key=lambda one: not one[0].required)


def _arguments(
    fields: Fields, last: str = "", *, others: Sequence[str] = (), taken: Set[str] = _OF_METHODS
) -> str:
    """The arguments of a method: required ones may be given by position, the others only by name."""

    def written(field: msgspec.structs.FieldInfo, kind: str) -> str:
        return f"{_argument(field, taken)}: {kind}{default_of(field)}"

    needed = [written(*one) for one in fields if one[0].required]
    others = [*(written(*one) for one in fields if not one[0].required), *others]
    return ", ".join([*needed, *(["*", *others] if others else []), *([last] if last else [])])


def _handed_on(fields: Fields, taken: Set[str] = _OF_METHODS) -> str:
    return ", ".join(f"{field.name}={_argument(field, taken)}" for field, _ in fields)


def _given(fields: Fields) -> str:
    """The fields handed on to a query; if a column's name is no Python name, as a dictionary."""
    is_plain = all(field.name == field.encode_name for field, _ in fields)
    named = ", ".join(f'"{field.encode_name}": {_argument(field, _OF_METHODS)}' for field, _ in fields)
    return _handed_on(fields) if is_plain else f"**{{{named}}}"


def _argument(field: msgspec.structs.FieldInfo, taken: Set[str]) -> str:
    """The name of a field as an argument; it gets a `_` if the name has another meaning in the method."""
    return f"{field.name}_" if field.name in taken else field.name
