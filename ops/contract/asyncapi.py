"""The contract as an AsyncAPI 3.0 document, made from the catalogue and the grammar of subjects.

Seen from the service, as AsyncAPI wants it: commands and queries are received and replied to, events and
results are sent. https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from collections.abc import Iterable
from typing import Any

from bus.contract.log_places import PLACE_PATTERN
from bus.serving.discovery import QUEUE_GROUP
from domain.catalogue import DECIDERS, TIMELINE_FORKED, TIMELINE_STREAM
from domain.messages import stream_name
from hyperpage_client.contract.commands import CommandAnswer
from hyperpage_client.contract.headers import (
    ACTOR,
    AGE_MS,
    CAUSATION_ID,
    COMMAND_ID,
    CORRELATION_ID,
    ERROR,
    ERROR_CODE,
    EXPECTED_VERSION,
    MINIMUM_POSITION,
    POSITION,
    READ,
    TIMELINE,
    TRACEPARENT,
)
from hyperpage_client.contract.log_place import LEADER
from hyperpage_client.contract.subjects import BATCH, BusNames
from ops.contract.answers import TEXT, cloud_event_schema, object_of, query_answer, refusal_schema
from ops.contract.schema import Schema, all_structs, described

# Placeholders of the parameters while a subject is made; neither needs an escape.
_KEY, _COMMAND_ID = "KEY", "COMMAND_ID"
_SCHEMAS = "#/components/schemas/"
_NUMBER = {"type": "string", "pattern": "^[0-9]+$"}
# Up to where all of the log is in what was read, how old that may be; and up to where it has to be.
_PLACE = {POSITION: _NUMBER, TIMELINE: _NUMBER, AGE_MS: _NUMBER}
_LEAST_PLACE = {"type": "string", "pattern": PLACE_PATTERN}

Document = dict[str, Any]


def asyncapi_document(names: BusNames, version: str) -> Document:
    """The document for one subject prefix and one version of the program."""
    kinds = all_structs()
    document = _frame(version)
    _add_replies(document, names, kinds["queries"])
    for name, struct in kinds["commands"].items():
        _add_schemas(document, name, struct)
        _add_message(document, name, name, headers="command_headers")
        answer = "batch_answer" if name == BATCH else "answer"
        _add_request(document, f"command.{name}", names.command(name), name, answer)
        # The answer to its durable form comes as a result of its own.
        durable = names.durable_command(name)
        _add_received(document, f"durable.{name}", durable, name, ("results", answer))
    for name, struct in kinds["queries"].items():
        _add_schemas(document, name, struct)
        _add_message(document, name, name, headers="query_headers")
        _add_request(document, f"query.{name}", names.query(name), name, f"{name}.answer")
    for stream, type_name in _event_types():
        _add_schemas(document, type_name, kinds["events"][type_name])
        _add_event(document, names.event(stream, type_name), type_name)
    return document


def _frame(version: str) -> Document:
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "hyperpage-persistence",
            "version": version,
            "description": "Commands are decided, their events stored and published.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "embedded": {
                "host": "127.0.0.1:4222",
                "protocol": "nats",
                "description": "The service's own nats-server; runtime.json in its data directory has the"
                " address and the credentials in use.",
            }
        },
        "channels": {},
        "operations": {},
        "components": {"schemas": _shared_schemas(), "messages": {}},
    }


def _add_request(document: Document, channel: str, subject: str, message: str, answer: str) -> None:
    _add_received(document, channel, subject, message, ("replies", answer))
    bindings = {"nats": {"queue": QUEUE_GROUP, "bindingVersion": "0.1.0"}}
    document["operations"][channel]["bindings"] = bindings


def _add_received(
    document: Document, channel: str, subject: str, message: str, answered: tuple[str, str]
) -> None:
    """A message that is `answered`: in which channel, and by which message."""
    answers, answer = answered
    document["channels"][channel] = _channel(subject, [message])
    document["operations"][channel] = {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [_in_channel(channel, message)],
        "reply": {
            "channel": {"$ref": f"#/channels/{answers}"},
            "messages": [_in_channel(answers, answer), _in_channel(answers, "error")],
        },
    }


def _add_event(document: Document, subject: str, type_name: str) -> None:
    channel = f"event.{type_name}"
    payload = {
        "allOf": [
            _to_schema("cloud_event"),
            {"properties": {"type": {"const": f"hyperpage.{type_name}"}, "data": _to_schema(type_name)}},
        ]
    }
    document["components"]["messages"][type_name] = {
        "name": type_name,
        "contentType": "application/cloudevents+json",
        "payload": payload,
    }
    document["channels"][channel] = _channel(subject, [type_name])
    document["operations"][channel] = _sends(channel, [type_name])


def _add_replies(document: Document, names: BusNames, queries: Iterable[str]) -> None:
    """The answers, and the two ways they go: to the requester's inbox, or to the results."""
    for message in ("answer", "batch_answer"):
        _add_message(document, message, message)
    _add_message(document, "error", "error", headers="error_headers")
    answers = [f"{name}.answer" for name in queries]
    for message in answers:
        document["components"]["messages"][message] = {
            "name": message,
            "headers": _to_schema("query_answer_headers"),
            "payload": query_answer(message.removesuffix(".answer"), _to_schema("cloud_event")),
        }
    commands = ["answer", "batch_answer", "error"]
    # Replies have no address: a request brings its reply subject along.
    document["channels"]["replies"] = _channel(None, [*commands, *answers])
    document["channels"]["results"] = _channel(names.result(_COMMAND_ID), commands)
    document["operations"]["results"] = _sends("results", commands)
    progress = {"name": "progress", "payload": _to_schema("progress")}
    document["components"]["messages"]["progress"] = progress
    subject = names.notice("jobs", _KEY, "progress")
    document["channels"]["notice.jobs.progress"] = _channel(subject, ["progress"])
    document["operations"]["notice.jobs.progress"] = _sends("notice.jobs.progress", ["progress"])


def _add_schemas(document: Document, name: str, struct: Any) -> None:
    # The structs inside get its name before theirs, since other structs may have the same name.
    schema, inner = described(name, struct, f"{_SCHEMAS}{name}.{{name}}")
    schemas = document["components"]["schemas"]
    schemas[name] = schema
    schemas |= {f"{name}.{inner_name}": inner_schema for inner_name, inner_schema in inner.items()}


def _add_message(document: Document, name: str, schema: str, *, headers: str | None = None) -> None:
    message: dict[str, Any] = {"name": name, "payload": _to_schema(schema)}
    if headers is not None:
        message["headers"] = _to_schema(headers)
    document["components"]["messages"][name] = message


def _event_types() -> Iterable[tuple[str, str]]:
    for decider in DECIDERS:
        for type_name in decider.events:
            yield stream_name(decider.table, _KEY), type_name
    yield TIMELINE_STREAM, TIMELINE_FORKED


def _channel(subject: str | None, messages: Iterable[str]) -> dict[str, Any]:
    references = {message: {"$ref": f"#/components/messages/{message}"} for message in messages}
    if subject is None:
        return {"address": None, "description": "The request's reply subject.", "messages": references}
    channel: dict[str, Any] = {"address": subject, "messages": references}
    for placeholder, parameter, meaning in (
        (_KEY, "key", "The aggregate's key; every byte outside [A-Za-z0-9_-] is written =XX."),
        (_COMMAND_ID, "command_id", "The command's id, escaped as a key is."),
    ):
        if placeholder in subject.split("."):
            channel["address"] = subject.replace(placeholder, f"{{{parameter}}}")
            channel["parameters"] = {parameter: {"description": meaning}}
    return channel


def _sends(channel: str, messages: Iterable[str]) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [_in_channel(channel, message) for message in messages],
    }


def _in_channel(channel: str, message: str) -> dict[str, str]:
    return {"$ref": f"#/channels/{channel}/messages/{message}"}


def _to_schema(name: str) -> dict[str, str]:
    return {"$ref": f"{_SCHEMAS}{name}"}


def _shared_schemas() -> dict[str, Schema]:
    headers = (COMMAND_ID, EXPECTED_VERSION, ACTOR, CORRELATION_ID, CAUSATION_ID, TRACEPARENT)
    answer, _ = described("answer", CommandAnswer, f"{_SCHEMAS}{{name}}")
    refusal = refusal_schema()
    return {
        "command_headers": object_of(dict.fromkeys(headers, TEXT), required=()),
        "query_headers": object_of({MINIMUM_POSITION: _LEAST_PLACE, READ: {"const": LEADER}}, required=()),
        "query_answer_headers": object_of(_PLACE, required=()),
        "error_headers": object_of({ERROR: TEXT, ERROR_CODE: TEXT, **_PLACE}, required=(ERROR, ERROR_CODE)),
        "answer": answer,
        "batch_answer": object_of(
            {"outcomes": {"type": "array", "items": {"anyOf": [_to_schema("answer"), refusal]}}}
        ),
        "error": refusal,
        "cloud_event": cloud_event_schema(),
        "progress": object_of({"id": TEXT, "percent": {}, "note": {}, "at": {"type": "integer"}}),
    }
