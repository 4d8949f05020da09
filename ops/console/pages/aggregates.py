"""The tables of aggregates that other distributions bring: `rows.html`, `row.html`, `verb.html`.

One set of pages serves all of them; it is made from the table's columns and the commands.
"""

from functools import partial
from typing import Any

import msgspec
from starlette.responses import Response

from domain.catalogue import BY_TABLE
from domain.decider import Verb
from domain.errors import AlreadyExists, NotFound, Refusal
from ops.console.command_form import FormField, body_of, fields_of
from ops.console.rendering import PREFIX, compact, is_time, stream_link, words
from ops.console.routing import action, page
from ops.console.typed import without_credentials
from ops.console.visit import Visit, said_of, whole_number
from ops.http.meaning import key_fields
from ops.http.routing import RouteEntry
from projections.table import Table, places_of, single
from projections.tables import INSTALLED_TABLES

PAGE_ROWS = 100
HISTORY_EVENTS = 50
# How many columns a list shows beside key and version; the page of a row has all.
LISTED_COLUMNS = 5
_PLACES = ("version", "position")


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column, as pages show it."""

    name: str
    label: str
    is_json: bool
    is_number: bool


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """A verb, as a form sends it. `is_of_row` says whether the command names the key of a row."""

    verb: Verb
    command: str
    label: str
    meaning: str
    fields: tuple[FormField, ...]
    is_of_row: bool

    @property
    def makes(self) -> bool:
        """Whether the verb makes a new row."""
        return AlreadyExists in self.verb.refusals

    @property
    def needs_row(self) -> bool:
        """Whether the verb changes an existing row."""
        return self.is_of_row and NotFound in self.verb.refusals


async def show_rows(table: Table, visit: Visit) -> Response:
    """The rows that match the filters, in the order of their keys."""
    filters = _filters(table)
    given = {one.name: visit.parameter(one.name) for one in filters}
    wanted = body_of(filters, {name: value for name, value in given.items() if value is not None})
    after = visit.parameter("after")
    listed = await visit.query(f"{table.name}.list", **wanted, after=after, limit=PAGE_ROWS)
    counted = await visit.query(f"{table.name}.count", **wanted)
    return visit.render(
        "aggregates/rows.html",
        table=table.name,
        rows=[(table.aggregate_key(row[table.primary_key]), row) for row in listed["items"]],
        next=listed["next"],
        columns=_listed_columns(table),
        count=counted["count"],
        filters=filters,
        given=given,
        is_first=after is None,
        actions=[one for one in _actions(table) if not one.needs_row],
    )


async def show_row(table: Table, visit: Visit) -> Response:
    """A row with all its columns, as it was at a position, and its history."""
    key, position = visit.request.path_params["key"], visit.number("position")
    fields = key_fields(table.name, key)
    row = await visit.row(f"{table.name}.get", **fields)
    events, has_more = await visit.history(table.name, key, HISTORY_EVENTS)
    if row is None and not events:
        raise NotFound(f"there is no {table.name}/{key[:200]}")
    then = None if position is None else await visit.row(f"{table.name}.as_of", **fields, position=position)
    of_row = [one for one in _actions(table) if one.is_of_row]
    return visit.render(
        "aggregates/row.html",
        table=table.name,
        key=key,
        key_field=_key_field(table),
        row=row,
        columns=_columns(table),
        at=position,
        then=then,
        events=events,
        has_more=has_more,
        actions=[one for one in of_row if not (one.makes if row else one.needs_row)],
    )


async def show_verb(table: Table, wanted: Action, visit: Visit) -> Response:
    """A form for a command, filled in with the parameters of the address, and else with the defaults."""
    said = {one.name: visit.parameter(one.name) or one.otherwise for one in wanted.fields}
    key = said.get(_key_field(table)) if wanted.is_of_row else None
    row = await visit.row(f"{table.name}.get", **key_fields(table.name, key)) if key else None
    return _form(visit, table, wanted, said, "" if row is None else str(row["version"]))


async def send_verb(table: Table, wanted: Action, visit: Visit) -> Response:
    """Sends the command and goes to its row; if it is refused, shows the filled-in form and the reason."""
    form = visit.form
    # The prefix keeps fields of the command apart from the form's own.
    said = {one.name: form.text(f"field-{one.name}") for one in wanted.fields}
    version = form.text("version")
    try:
        body, expected = body_of(wanted.fields, said), None
        if version and form.has("is_held"):
            expected = whole_number(version, "the page says which version it shows", path="version")
        answer = await visit.command(wanted.command, body, expected_version=expected)
    except Refusal as refusal:
        shown = {name: without_credentials(written) for name, written in said.items()}
        return _form(visit, table, wanted, shown, version, refusal)
    visit.tell(_told(wanted, answer))
    return visit.go(stream_link(answer["stream"]) if answer["stream"] else f"{PREFIX}/{table.name}")


def _form(
    visit: Visit,
    table: Table,
    wanted: Action,
    said: dict[str, str],
    version: str,
    refusal: Refusal | None = None,
) -> Response:
    path = "" if refusal is None else str(refusal.details.get("path", ""))
    # The name of the field in a path such as `$.tags[1]`.
    place = path.removeprefix("$.").partition("[")[0].partition(".")[0]
    key_field = _key_field(table)
    key = (visit.parameter(key_field) or "") if wanted.is_of_row else ""
    return visit.render(
        "aggregates/verb.html",
        200 if refusal is None else refusal.number,
        table=table.name,
        action=wanted,
        key=key,
        key_field=key_field if key else None,
        said=said,
        version=version,
        is_held=refusal is None or visit.form.has("is_held"),
        problem=None if refusal is None else said_of(refusal),
        wrong=place if place in said else None,
    )


def _told(wanted: Action, answer: dict[str, Any]) -> str:
    done = "done" if answer["events"] else "nothing had to change"
    result = "" if answer["result"] is None else f". The answer: {compact(answer['result'])}"
    return f"{wanted.label}: {done}{result}"


def _columns(table: Table) -> list[Column]:
    of_json, _ = places_of(table.shape)
    return [
        Column(
            name=field.name,
            label=words(field.name.removesuffix("_ms")),
            is_json=place in of_json,
            is_number=single(field.type) in (int, float) and not is_time(field.name),
        )
        for place, field in enumerate(msgspec.structs.fields(table.shape))
        if field.name not in _PLACES
    ]


def _listed_columns(table: Table) -> list[Column]:
    """The columns of a list: indexed ones first, then others, up to the limit, in the table's order."""
    shown = [one for one in _columns(table)[1:] if one.name in table.listed.__struct_fields__]
    first = sorted(shown, key=lambda one: one.name not in table.indexed)[:LISTED_COLUMNS]
    return [one for one in shown if one in first]


def _filters(table: Table) -> tuple[FormField, ...]:
    query: type[msgspec.Struct] = table.count_query
    return tuple(one for one in fields_of(query) if one.name != "by")


def _key_field(table: Table) -> str:
    return msgspec.structs.fields(table.get_query)[0].encode_name


def _actions(table: Table) -> list[Action]:
    decider, key_field = BY_TABLE[table.name], _key_field(table)
    return [
        Action(
            verb=verb,
            command=decider.command_name(verb),
            label=words(verb.name),
            meaning=" ".join((verb.command.__doc__ or "").split("\n\n")[0].split()),
            fields=fields_of(verb.command),
            is_of_row=verb.key is not None and key_field in verb.command.__struct_encode_fields__,
        )
        for verb in decider.verbs
        if not verb.internal
    ]


def _routes_of(table: Table) -> list[RouteEntry]:
    path = f"/{table.name}"
    routes = [page(path, partial(show_rows, table))]
    for one in _actions(table):
        routes += (
            page(f"{path}/-/{one.verb.name}", partial(show_verb, table, one), role="operate"),
            action(f"{path}/-/{one.verb.name}", partial(send_verb, table, one)),
        )
    return [
        *routes,
        # The last route, since it takes every path below the table's.
        page(f"{path}/{{key:path}}", partial(show_row, table)),
    ]


ROUTES = [entry for table in INSTALLED_TABLES for entry in _routes_of(table)]
