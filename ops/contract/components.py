"""The schemas of all messages and answers, under stable names. The contract's documents are made of them.

`jobs.enqueue` is `JobsEnqueue`, and its answer `JobsEnqueueAnswer`; `job.completed.v1` is `JobCompletedV1`,
and the CloudEvent with it `JobCompletedV1Event`; a row is named after its aggregate: `Job`. Structs inside
these have their own names; in tables of installed aggregates, with the table's name in front
(`names_of_others`).
"""

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import chain
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

import msgspec

from bus.contract.codec import Batch
from bus.contract.log_answers import CloudEvent, EventPage
from domain.catalogue import COMMANDS, DECIDERS, OTHERS, OWN, VERBS, TimelineForked
from domain.component_names import component_name
from domain.jobs.commands import OnConflict, OnDependencyFailure, UniqueScope
from domain.jobs.state import State, Status
from domain.rate_limits.state import RateLimitLevel
from domain.schedules.messages import OnMissed
from hyperpage_client.contract.commands import CommandAnswer
from hyperpage_client.contract.subjects import BATCH
from ops.contract.describable import Describer
from ops.contract.names_of_others import OF_ROWS, Use, named_in, names_of_others
from ops.contract.reference.meanings import meaning_of
from ops.contract.schema import Schema, all_structs, query_answers
from projections.jobs.table import CountBy
from projections.tables import TABLES

# Enumerations that several structs use.
ENUMERATIONS: Mapping[str, Any] = {
    "JobState": State,
    "JobStatus": Status,
    "JobCountBy": CountBy,
    "OnConflict": OnConflict,
    "OnDependencyFailure": OnDependencyFailure,
    "OnMissed": OnMissed,
    "RateLimitLevel": RateLimitLevel,
    "UniqueScope": UniqueScope,
}
ANY_EVENT = "Event"
ANSWER, WITHOUT_RESULT, BATCH_ANSWER = "Answer", "AnswerWithoutResult", "BatchAnswer"
# Other names that are taken in one of the documents; most of them are only in that of the HTTP API.
OF_DOCUMENTS = (
    *(ANY_EVENT, ANSWER, WITHOUT_RESULT, BATCH_ANSWER),
    *("CommandHeaders", "QueryHeaders", "QueryAnswerHeaders", "ErrorHeaders", "Problem", "ServiceStatus"),
    *("AuditEntry", "BackupMetadata", "ChooseDeadLetters", "CreateBackup", "CreateBackupAsBefore"),
    *("HandOver", "ListAudit", "ListDeadLetters", "LogIn", "NameBackup", "Nothing", "PruneBackups"),
    *("Restore", "RestoreBackup", "RotateLogin", "SaveConfiguration", "ShowDeadLetter"),
    *("ToolConfiguration", "VerifyAudit"),
)
# The structs with events of all tables.
_OF_EVENTS = ("LogPage", "FoundEvents", "ChainLink")
# An integer that may be larger gets the format `int64`, for languages with integers of both sizes.
_OF_32_BITS = 2**31 - 1


class JobProgressNotice(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of a job, published at once to subscribers; `at` is in milliseconds since the epoch."""

    id: str
    percent: float | None
    note: str | None
    at: int


class RefusalError(msgspec.Struct, frozen=True, kw_only=True):
    """The reason why a command or a query was refused."""

    code: str
    message: str
    hint: str
    details: dict[str, Any]


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a refused command or query."""

    error: RefusalError


class Components:
    """The schemas by name; they refer to each other by `place` and the name.

    For OpenAPI, defaults are in the descriptions, since its tools take a field with a default for one that is
    always there; and unions have a discriminator. `more` are structs that are sent beside commands and
    queries, by their names.
    """

    def __init__(
        self,
        place: str,
        *,
        openapi: bool = False,
        more: Mapping[str, type[msgspec.Struct]] = MappingProxyType({}),
    ) -> None:
        self._place = place
        self._openapi = openapi
        sent = {struct: component_name(name) for name, struct in more.items()}
        read = Describer(lambda kind: sent.get(kind) or name_of(kind, is_sent=True))
        written = Describer(name_of, is_written=True)
        described = [*map(read.describable, [*sent, *_asked()]), *map(written.describable, _answered())]
        _, found = msgspec.json.schema_components(described, ref_template=f"{place}{{name}}")
        # Through JSON, so that the document equals one that is read again.
        self.schemas: dict[str, Schema] = msgspec.json.decode(msgspec.json.encode(found))
        for name in (*all_structs()["commands"], *all_structs()["queries"]):
            self._explain(name, self.schemas[component_name(name)], "")
        self._simplify()
        self._add_unions()
        self.schemas = dict(sorted(self.schemas.items()))

    def reference(self, name: str) -> Schema:
        """A reference to one of the schemas."""
        return {"$ref": f"{self._place}{name}"}

    def _explain(self, verb: str, schema: Schema, before: str) -> None:
        """Adds to each field its meaning as a description, also in the structs inside."""
        # Enumerations and arrays have no fields.
        for name, field in schema.get("properties", {}).items():
            for one in (field, field.get("items", {}), *field.get("anyOf", ())):
                if "$ref" in one:
                    inner = self.schemas[one["$ref"].removeprefix(self._place)]
                    self._explain(verb, inner, f"{before}{name}.")
            field["description"] = meaning_of(verb, before + name, field.get("description", ""))
            default = field.get("default")
            if self._openapi:
                field.pop("default", None)
                if default is not None:
                    field["description"] += f"; `{msgspec.json.encode(default).decode()}` if it is left out"

    def _simplify(self) -> None:
        """Gives enumerations their names, and adds what tools for other languages need."""
        by_values = {frozenset(get_args(kind)): name for name, kind in ENUMERATIONS.items()}
        for part in [part for schema in self.schemas.values() for part in parts_of(schema)]:
            if part.get("type") == "integer" and part.get("maximum", _OF_32_BITS + 1) > _OF_32_BITS:
                part["format"] = "int64"
            elif "enum" in part:
                name = by_values.get(frozenset(part["enum"]))
                if name is not None:
                    part.update(self.reference(name))
                elif all(isinstance(value, str) for value in part["enum"]):
                    part["type"] = "string"
                if len(part["enum"]) == 1 and not self._openapi:
                    part["const"] = part.pop("enum")[0]
            if "$ref" in part:
                # For some tools, members beside a reference make a new type of it, so they are removed.
                reference = part["$ref"]
                part.clear()
                part["$ref"] = reference
        for name, kind in ENUMERATIONS.items():
            self.schemas[name] = {"title": name, "type": "string", "enum": list(get_args(kind))}

    def _add_unions(self) -> None:
        """Adds the unions of several structs, which msgspec cannot describe."""
        page = self.schemas.pop(EventPage.__name__)
        by_type = {f"hyperpage.{name}": f"{component_name(name)}Event" for name in all_structs()["events"]}
        self._add_union(ANY_EVENT, "Any event of the log.", by_type)
        for decider in DECIDERS:
            name = name_of(TABLES[decider.table].shape)
            own = {f"hyperpage.{one}": by_type[f"hyperpage.{one}"] for one in decider.events}
            self._add_union(f"{name}Event", f"An event of the table {decider.table}.", own)
            items = {"type": "array", "items": self.reference(f"{name}Event")}
            self.schemas[f"{name}EventPage"] = {
                **page,
                "title": f"{name}EventPage",
                "properties": {**page["properties"], "items": items},
            }
        for part in [part for name in _OF_EVENTS for part in parts_of(self.schemas[name])]:
            if part == self.reference(CloudEvent.__name__):
                part.update(self.reference(ANY_EVENT))
        outcome = {"anyOf": [self.reference(ANSWER), self.reference(Refusal.__name__)]}
        self.schemas[BATCH_ANSWER] = {
            "title": BATCH_ANSWER,
            "description": "What became of each command of a batch, in their order.",
            "type": "object",
            "properties": {"outcomes": {"type": "array", "items": outcome}},
            "required": ["outcomes"],
        }

    def _add_union(self, name: str, description: str, by_type: Mapping[str, str]) -> None:
        union: Schema = {"title": name, "description": description}
        union["oneOf"] = [self.reference(one) for one in by_type.values()]
        if self._openapi:
            mapping = {kind: f"{self._place}{one}" for kind, one in by_type.items()}
            union["discriminator"] = {"propertyName": "type", "mapping": mapping}
        self.schemas[name] = union


def answer_name(name: str) -> str:
    """The name of the component that answers a command or a query."""
    if name == BATCH:
        return BATCH_ANSWER
    if name in VERBS:
        return f"{component_name(name)}Answer" if VERBS[name][1].result is not None else WITHOUT_RESULT
    gives = query_answers()[name]
    if gives is EventPage:
        return f"{name_of(TABLES[name.partition('.')[0]].shape)}EventPage"
    return name_of(gives)


def event_name(name: str) -> str:
    """The name of the component for the CloudEvent of a type of event."""
    return f"{component_name(name)}Event"


def name_of(kind: Any, *, is_sent: bool = False) -> str:
    """The name of a struct's component; one of an installed aggregate may have another if it `is_sent`."""
    return _name_of(kind, is_sent, _of_others())


def _name_of(kind: Any, is_sent: bool, of_others: Mapping[Use, str]) -> str:
    if (name := of_others.get((kind, is_sent)) or _names().get(kind)) is not None:
        return name
    if (of := get_args(kind)) and (origin := get_origin(kind)) is not None:
        return _name_of(of[0], is_sent, of_others) + str(origin.__name__).removeprefix("Row")
    return str(kind.__name__).removesuffix("Row")


@cache
def _names() -> Mapping[Any, str]:
    return {
        struct: component_name(name) for structs in all_structs().values() for name, struct in structs.items()
    }


@cache
def _of_others() -> Mapping[Use, str]:
    if not OTHERS:
        return {}
    kinds = all_structs()
    ours = {name: one for name, one in TABLES.items() if name not in OTHERS}
    own = [verb for name, verb in COMMANDS.items() if name.partition(".")[0] in ours]
    sent = [Batch, *(verb.command for verb in own)]
    sent += [shape for name, shape in kinds["queries"].items() if name.partition(".")[0] not in OTHERS]
    answered = [verb.result for verb in own if verb.result is not None]
    answered += [gives for name, gives in query_answers().items() if name.partition(".")[0] not in OTHERS]
    answered += [TimelineForked, *(event for one in OWN for event in one.events.values())]
    answered += [CommandAnswer, CloudEvent, EventPage, Refusal, JobProgressNotice]
    known = {(kind, True) for shape in sent for kind in named_in(shape)}
    known |= {(kind, False) for shape in answered for kind in named_in(shape)}
    taken = {_name_of(kind, is_sent, {}) for kind, is_sent in known} | {*ENUMERATIONS, *OF_DOCUMENTS}
    taken |= {_name_of(table.shape, False, {}) + ending for table in ours.values() for ending in OF_ROWS}
    named = [component_name(name) for of in kinds.values() for name in of]
    # Endings: the name itself, a command's body without its key, its answer, the CloudEvent of an event.
    taken |= {name + ending for name in named for ending in ("", "Body", "Answer", "Event")}
    known |= {(struct, True) for kind in ("commands", "queries") for struct in kinds[kind].values()}
    known |= {(event, False) for event in kinds["events"].values()}
    titles = {name: component_name(name) for name in OTHERS}
    return names_of_others(titles, kinds["queries"], taken, known)


def _asked() -> Iterator[Any]:
    kinds = all_structs()
    yield from kinds["commands"].values()
    yield from kinds["queries"].values()


def _answered() -> Iterator[Any]:
    yield _like(CommandAnswer, ANSWER, result=Any)
    yield _like(CommandAnswer, WITHOUT_RESULT, result=None)
    for name, (_, verb) in VERBS.items():
        if verb.result is not None and not verb.internal:
            yield _like(CommandAnswer, answer_name(name), result=verb.result)
    yield from query_answers().values()
    for name, event in all_structs()["events"].items():
        yield _like(CloudEvent, event_name(name), type=Literal[f"hyperpage.{name}"], data=event)
    yield from (CloudEvent, Refusal, JobProgressNotice)


def _like(struct: type[msgspec.Struct], name: str, **of: Any) -> Any:
    """A struct with the same members, but those in `of` have these types, and are required."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(struct):
        if field.name in of or field.required:
            fields.append((field.name, of.get(field.name, field.type)))
        else:
            fields.append((field.name, field.type, field.default))
    return msgspec.defstruct(name, fields, namespace={"__doc__": struct.__doc__}, kw_only=True)


def parts_of(schema: Schema) -> Iterator[Schema]:
    """A schema, and all schemas inside it."""
    yield schema
    several = (schema.get("properties", {}).values(), schema.get("anyOf", ()), schema.get("prefixItems", ()))
    single = (schema.get("items"), schema.get("additionalProperties"))
    for one in chain(*several, single):
        if isinstance(one, dict):
            yield from parts_of(one)
