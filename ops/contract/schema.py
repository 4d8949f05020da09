"""JSON Schema of every command, query and event type, made from the structs that decode them."""

import types
from collections.abc import Mapping
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from bus.contract.codec import Batch
from domain.catalogue import DECIDERS, TIMELINE_FORKED, VERBS, TimelineForked
from hyperpage_client.contract.subjects import BATCH
from ops.contract.queries import query_verbs

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def command_schema(name: str) -> Schema:
    """The schema of the body of a command, such as `jobs.enqueue` or `batch`.

    Raises:
        KeyError: there is no such command.
    """
    return struct_schema(name, _commands()[name])


def schema_of(name: str) -> Schema:
    """The schema of whatever has this name.

    Raises:
        KeyError: nothing has.
    """
    for kind in (_commands(), _queries(), _events()):
        if name in kind:
            return struct_schema(name, kind[name])
    raise KeyError(name)


def all_schemas() -> dict[str, dict[str, Schema]]:
    """Every schema by name, each whole in itself: `{"commands": …, "queries": …, "events": …}`."""
    return {
        kind: {name: struct_schema(name, struct) for name, struct in structs.items()}
        for kind, structs in all_structs().items()
    }


def all_structs() -> dict[str, Mapping[str, type[msgspec.Struct]]]:
    """The structs that the schemas are made from, by kind and name."""
    return {"commands": _commands(), "queries": _queries(), "events": _events()}


def struct_schema(title: str, struct: type[msgspec.Struct]) -> Schema:
    """The schema of a struct, whole in itself: what it refers to stands in its `$defs`."""
    schema, definitions = described(title, struct, "#/$defs/{name}")
    return {"$schema": DIALECT, **schema} | ({"$defs": definitions} if definitions else {})


def described(
    title: str, struct: type[msgspec.Struct], ref_template: str
) -> tuple[Schema, dict[str, Schema]]:
    """The schema of a struct, and of each struct inside it by name; `ref_template` says where those go."""
    (reference,), definitions = msgspec.json.schema_components(
        [_describable(struct)], ref_template=ref_template
    )
    own = definitions.pop(reference["$ref"].removeprefix(ref_template.removesuffix("{name}")))
    # Through JSON, since a default may be a tuple.
    plain: tuple[Schema, dict[str, Schema]] = msgspec.json.decode(
        msgspec.json.encode(({**own, "title": title}, definitions)), type=tuple[Schema, dict[str, Schema]]
    )
    return plain


@cache
def _commands() -> Mapping[str, type[msgspec.Struct]]:
    named = {name: verb.command for name, (_, verb) in VERBS.items() if not verb.internal}
    return {**named, BATCH: Batch}


@cache
def _queries() -> Mapping[str, type[msgspec.Struct]]:
    # Only the shapes of these queries are used. Nothing is asked.
    return {name: verb.shape for name, verb in query_verbs(lambda table, aggregate: None, lambda: 0).items()}


@cache
def _events() -> Mapping[str, type[msgspec.Struct]]:
    named = {name: event for decider in DECIDERS for name, event in decider.events.items()}
    return {**named, TIMELINE_FORKED: TimelineForked}


@cache
def _describable(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The same struct with the defaults of JSON: msgspec cannot write a `Raw` one into a schema."""
    fields: list[Any] = []
    changed = False
    for field in msgspec.structs.fields(struct):
        kind = _describable_type(field.type)
        default: Any = field.default
        if isinstance(default, msgspec.Raw):
            default = msgspec.json.decode(default)
        elif isinstance(default, tuple):
            # JSON has no tuples, and a document must be the same when it is read again.
            default = list(default)
        changed |= kind is not field.type or default is not field.default
        if default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT:
            fields.append((field.encode_name, kind))
        else:
            described = msgspec.field(default_factory=field.default_factory)
            fields.append((field.encode_name, kind, described if default is msgspec.NODEFAULT else default))
    if not changed:
        return struct
    return msgspec.defstruct(
        struct.__name__,
        fields,
        module=struct.__module__,
        namespace={"__doc__": struct.__doc__},
        kw_only=True,
        forbid_unknown_fields=struct.__struct_config__.forbid_unknown_fields,
    )


def _describable_type(kind: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _describable(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal or not arguments:
        return kind
    if origin is Annotated:
        inner = _describable_type(arguments[0])
        return kind if inner is arguments[0] else Annotated[(inner, *kind.__metadata__)]
    described = tuple(map(_describable_type, arguments))
    if described == arguments:
        return kind
    if origin in (Union, types.UnionType):
        return reduce(or_, described)
    return origin[described]
