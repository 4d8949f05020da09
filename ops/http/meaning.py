"""The meaning of a request to `/api/v1`: path, method and parameters become a command or a query.

    GET    /api/v1/jobs?status=failed           jobs.list          GET  /api/v1/jobs/-/count    jobs.count
    GET    /api/v1/jobs/sync-1                  jobs.get           GET  /api/v1/jobs/sync-1/history
    POST   /api/v1/jobs                         jobs.enqueue       POST /api/v1/jobs/claim      any verb
    POST   /api/v1/jobs/sync-1/cancel           jobs.cancel, the key from the path
    PUT    /api/v1/app_state/theme              app_state.set      DELETE likewise
    PATCH  /api/v1/tool_configs/jira            tool_configs.patch

`-` stands for no key, since no key begins with it. A key is one segment; characters that a segment cannot
hold are escaped.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

import msgspec

from bus.contract import codec
from bus.contract.names import is_away, meant
from bus.contract.violations import nearest
from bus.serving.queries.reading import QueryVerb
from domain.catalogue import COMMANDS, DECIDERS, VERBS
from domain.errors import Invalid
from domain.messages import stream_name
from hyperpage_client.contract.subjects import BATCH
from ops.http.refusals import MethodNotAllowed, no_such_place
from projections.tables import TABLES

PREFIX = "/api/v1/"
# Stands in the place of a key; no key begins with it.
NO_KEY = "-"
# By method and table: the verb that the method stands for.
BY_METHOD: Mapping[str, Mapping[str, str]] = {
    method: {
        decider.table: verb.name for decider in DECIDERS for verb in decider.verbs if verb.method == method
    }
    for method in ("POST", "PUT", "PATCH", "DELETE")
}


class RequestMeaning(msgspec.Struct, frozen=True, kw_only=True):
    """The command or query that a request stands for, and the part of its body that the path gives.

    `stream` is the stream of the row in the path. With `creates`, the command makes a row, and the path names
    none. `wrapped` is the command's field that takes the request's body; `None`: the body is the command's.
    """

    kind: Literal["command", "query"]
    name: str
    key: Mapping[str, str] = {}
    stream: str | None = None
    creates: bool = False
    wrapped: str | None = None

    @property
    def verb(self) -> str:
        return self.name.rpartition(".")[2]


def meaning_of(
    method: str, raw_path: bytes, queries: Mapping[str, QueryVerb], away: Collection[str] = ()
) -> RequestMeaning:
    """The meaning of a request behind `/api/v1/`.

    Raises:
        NotFound: the path means nothing; if its table is `away`, the message says so.
        MethodNotAllowed: the path takes other methods.
    """
    segments = [_segment(one) for one in raw_path.split(b"/")]
    if segments == [BATCH]:
        return _only("POST", method, RequestMeaning(kind="command", name=BATCH))
    table, *rest = segments
    if table in away:
        raise is_away(table)
    match rest:
        case []:
            return _of_table(method, table)
        case [verb] if method == "POST":
            return _named(f"{table}.{verb}", queries)
        case [key]:
            return _of_row(method, table, key)
        case [key, verb]:
            meaning = _named(f"{table}.{verb}", queries)
            _only("GET" if meaning.kind == "query" else "POST", method, meaning)
            if key == NO_KEY:
                return meaning
            return msgspec.structs.replace(
                meaning, key=key_fields(table, key), stream=stream_name(table, key)
            )
        case _:
            raise no_such_place()


def key_fields(table: str, key: str) -> dict[str, str]:
    """The fields by which a table's queries and commands name the row with a key.

    Raises:
        NotFound: there is no such table.
    """
    if table not in TABLES:
        raise no_such_place(nearest(table, tuple(TABLES)))
    try:
        # A key may be written as in commands, or as the id of a row in lists.
        return TABLES[table].key_fields(TABLES[table].aggregate_key(key))
    except ValueError:
        raise no_such_place() from None


def _of_table(method: str, table: str) -> RequestMeaning:
    if table not in TABLES:
        raise no_such_place(nearest(table, tuple(TABLES)))
    verbs = {"GET": "list", "POST": BY_METHOD["POST"].get(table)}
    meaning = _chosen(method, table, verbs)
    return msgspec.structs.replace(meaning, creates=meaning.kind == "command")


def _of_row(method: str, table: str, key: str) -> RequestMeaning:
    fields = key_fields(table, key)
    verbs = {"GET": "get", **{one: BY_METHOD[one].get(table) for one in ("PUT", "PATCH", "DELETE")}}
    meaning = _chosen(method, table, verbs)
    return msgspec.structs.replace(meaning, key=fields, stream=stream_name(table, key))


def _chosen(method: str, table: str, verbs: Mapping[str, str | None]) -> RequestMeaning:
    # HEAD is answered like GET.
    verb = verbs.get("GET" if method == "HEAD" else method)
    if verb is None:
        raise MethodNotAllowed(method, ", ".join(name for name, verb in verbs.items() if verb))
    return RequestMeaning(
        kind="query" if verb in ("list", "get") else "command",
        name=f"{table}.{verb}",
        wrapped="patch" if verb == "patch" else None,
    )


def _named(name: str, queries: Mapping[str, QueryVerb]) -> RequestMeaning:
    if name in queries:
        return RequestMeaning(kind="query", name=name)
    if name in VERBS and not VERBS[name][1].internal:
        return RequestMeaning(kind="command", name=name)
    raise no_such_place(meant(name, (*queries, *COMMANDS)))


def _only(allowed: str, method: str, meaning: RequestMeaning) -> RequestMeaning:
    if method != allowed and (method, allowed) != ("HEAD", "GET"):
        raise MethodNotAllowed(method, allowed)
    return meaning


def _segment(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise no_such_place() from None


def query_body(
    shape: type[Any], key: Mapping[str, str], parameters: Sequence[tuple[str, str]], *, name: str = ""
) -> bytes:
    """The body of a query that came as parameters; `name` is the query's name.

    Raises:
        Invalid: a parameter is unknown, repeated or of another type.
    """
    given: dict[str, str] = {}
    for field, value in parameters:
        if field in given or field in key:
            raise Invalid("it is there twice", path=f"$.{field[:100]}")
        given[field] = value
    asked = {**given, **key}
    try:
        query = msgspec.convert(asked, shape, strict=False)
    except msgspec.ValidationError as error:
        raise codec.refusal_of(error, shape, codec.encode(asked), name=name, strict=False) from None
    for field in given:
        # msgspec reads the text "null" as JSON's null, which would switch the filter off.
        if getattr(query, field) is None:
            raise Invalid("leave out what is null", path=f"$.{field}")
    return codec.encode(query)


def command_body(meaning: RequestMeaning, body: bytes) -> bytes:
    """The body of a command, completed with the fields that the path gives.

    Raises:
        Invalid: the body repeats a field of the path, or is no object.
    """
    if not meaning.key and meaning.wrapped is None:
        return body
    # Decoded here, so that errors are reported for the body as it was sent.
    fields: dict[str, Any] = codec.decode(dict[str, msgspec.Raw], body)
    if meaning.wrapped is not None:
        fields = {meaning.wrapped: fields}
    for name, value in meaning.key.items():
        if name in fields:
            raise Invalid("the path says it already", path=f"$.{name}")
        fields[name] = value
    return codec.encode(fields)
