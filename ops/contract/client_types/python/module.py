"""One Python module with the types of installed aggregates' tables, for use beside the client: `source`."""

from collections.abc import Iterator, Sequence

from bus.contract.log_answers import EventPage
from domain.component_names import component_name
from ops.contract.client_types.brought import Brought, brought
from ops.contract.client_types.python.layout import module
from ops.contract.client_types.python.shapes import (
    Struct,
    answer,
    closed,
    closed_sets,
    command,
    docstring,
    part_of_command,
    structs_in,
)
from ops.contract.client_types.python.tables import whole_table, whole_table_in_threads
from ops.contract.client_types.python.types import NAMED
from projections.table import Count, CountedValue, GroupedCount, RowPage

# The modules of all names that such a module may need, except `msgspec`.
IMPORTS = {
    **dict.fromkeys(("AsyncIterator", "Sequence", "Set"), "collections.abc"),
    **dict.fromkeys(("date", "datetime", "time", "timedelta"), "datetime"),
    "Decimal": "decimal",
    **dict.fromkeys(("TYPE_CHECKING", "Annotated", "Any", "ClassVar", "Literal", "Unpack"), "typing"),
    "UUID": "uuid",
    **dict.fromkeys(("CountedValue", "GroupedCount"), "hyperpage_client.answers.jobs"),
    "Count": "hyperpage_client.answers.shared",
    **dict.fromkeys(NAMED, "hyperpage_client.commands.fields"),
    "Command": "hyperpage_client.contract.commands",
    "ChangeEvent": "hyperpage_client.following.change_events",
    **dict.fromkeys(
        ("ANSWER_SECONDS", "Answer", "Sent", "SentToAny", "Table", "given"), "hyperpage_client.queries.table"
    ),
    "SyncClient": "hyperpage_client.sync:Client",
    "SyncTable": "hyperpage_client.sync.portal:Table",
    **dict.fromkeys(("asked", "iterated"), "hyperpage_client.sync.portal"),
}
# Structs that the client has already, and that are not written again.
_SHARED = frozenset({Count, CountedValue, GroupedCount, EventPage, RowPage})


def source(tables: Sequence[str], made_by: str) -> str:
    """The module for these tables, or for all installed ones; `made_by` names the command that made it.

    Raises:
        UnknownTableError: there is no table of that name.
    """
    # A query gets the ending `Query`, since the table's own classes are made of its name, too.
    found = brought(tables, [*IMPORTS, "msgspec"], lambda name: f"{component_name(name)}Query")
    names = ", ".join(f"`{one.name}`" for one in found)
    text = f"""The commands, queries and rows of {names}, with types.

Made by `{made_by}`: change the aggregates, and make it anew."""
    return module([*docstring(text, "")], IMPORTS, _classes(found))


def _classes(tables: Sequence[Brought]) -> Iterator[str]:
    answers: dict[Struct, None] = {}
    sent: dict[Struct, None] = {}
    for table in tables:
        for query in table.queries.values():
            structs_in(query.gives, answers)
        for verb in table.verbs.values():
            structs_in(verb.result, answers)
            structs_in(verb.command, sent)
    told = [shape for shape in answers if shape not in _SHARED]
    commands = [verb.command for table in tables for verb in table.verbs.values()]
    named = {shape.__name__ for shape in (*told, *sent, *commands)} | IMPORTS.keys()
    words = closed_sets(told, {*named, *(table.title for table in tables)})
    yield from closed(words)
    for shape in told:
        # A struct that is also sent leaves out defaults, as a command does.
        yield from answer(shape, words, more=", omit_defaults=True" if shape in sent else "")
    for shape in sent:
        if shape not in answers:
            yield from part_of_command(shape)
    for table in tables:
        for name, verb in table.verbs.items():
            yield from command(verb.command, name)
    for table in tables:
        yield from whole_table(table.name, table.title, table.verbs, table.queries, words)
        yield from whole_table_in_threads(table.title, table.verbs, table.queries)
