"""The contract as an AsyncAPI 3.0 document, made from the catalogue and the grammar of subjects.

Seen from the service, as AsyncAPI wants it: commands and queries are received and replied to, events and
results are sent. https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from collections.abc import Iterable
from typing import Any

from bus.contract.log_places import PLACE_PATTERN
from bus.serving.discovery import QUEUE_GROUP
from domain.catalogue import DECIDERS, TIMELINE_FORKED, TIMELINE_STREAM
from domain.component_names import component_name
from domain.messages import stream_name
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
from hyperpage_client.contract.subjects import BusNames
from ops.contract.components import (
    BATCH_ANSWER,
    WITHOUT_RESULT,
    Components,
    JobProgressNotice,
    Refusal,
    answer_name,
    event_name,
)
from ops.contract.schema import Schema, all_structs
from ops.contract.shapes import TEXT, object_of

# Placeholders for the parameters while a subject is made; neither needs escaping.
_KEY, _COMMAND_ID = "KEY", "COMMAND_ID"
_SCHEMAS = "#/components/schemas/"
_NUMBER = {"type": "string", "pattern": "^[0-9]+$"}
# Headers of an answer: the position and timeline up to which the whole log was read, and the age of that
# state. Below, the schema of a query's header: the position that the answer must at least reach.
_PLACE = {POSITION: _NUMBER, TIMELINE: _NUMBER, AGE_MS: _NUMBER}
_LEAST_PLACE = {"type": "string", "pattern": PLACE_PATTERN}

Document = dict[str, Any]


def asyncapi_document(names: BusNames, version: str) -> Document:
    """The AsyncAPI document for one subject prefix and one version of the program."""
    kinds = all_structs()
    document = _frame(version)
    _add_replies(document, names, kinds["commands"], kinds["queries"])
    for name in kinds["commands"]:
        _add_message(document, name, component_name(name), headers="CommandHeaders")
        _add_request(document, f"command.{name}", names.command(name), name, _answer(name))
        # The answer to a durable command comes as a result, not as a reply.
        durable = names.durable_command(name)
        _add_received(document, f"durable.{name}", durable, name, ("results", _answer(name)))
    for name in kinds["queries"]:
        _add_message(document, name, component_name(name), headers="QueryHeaders")
        _add_request(document, f"query.{name}", names.query(name), name, _answer(name))
    for stream, type_name in _event_types():
        _add_event(document, names.event(stream, type_name), type_name)
    return document


def _answer(name: str) -> str:
    """The name of the message that answers a command or a query."""
    shared = {WITHOUT_RESULT: "answer", BATCH_ANSWER: "batch_answer"}
    return shared.get(answer_name(name), f"{name}.answer")


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
        "components": {"schemas": {**_headers(), **Components(_SCHEMAS).schemas}, "messages": {}},
    }


def _add_request(document: Document, channel: str, subject: str, message: str, answer: str) -> None:
    _add_received(document, channel, subject, message, ("replies", answer))
    bindings = {"nats": {"queue": QUEUE_GROUP, "bindingVersion": "0.1.0"}}
    document["operations"][channel]["bindings"] = bindings


def _add_received(
    document: Document, channel: str, subject: str, message: str, answered: tuple[str, str]
) -> None:
    """Adds a message that is received, and `answered` in a channel by a message."""
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
    _add_message(document, type_name, event_name(type_name))
    document["components"]["messages"][type_name]["contentType"] = "application/cloudevents+json"
    document["channels"][channel] = _channel(subject, [type_name])
    document["operations"][channel] = _sends(channel, [type_name])


def _add_replies(document: Document, names: BusNames, asked: Iterable[str], queries: Iterable[str]) -> None:
    """Adds the answers, and the two channels that they take: the requester's inbox, or the results."""
    _add_message(document, "error", Refusal.__name__, headers="ErrorHeaders")
    commands = {_answer(name): answer_name(name) for name in asked}
    for message, schema in commands.items():
        _add_message(document, message, schema)
    answers = {_answer(name): answer_name(name) for name in queries}
    for message, schema in answers.items():
        _add_message(document, message, schema, headers="QueryAnswerHeaders")
    # The channel of replies has no address: each request has its own reply subject.
    document["channels"]["replies"] = _channel(None, [*commands, "error", *answers])
    document["channels"]["results"] = _channel(names.result(_COMMAND_ID), [*commands, "error"])
    document["operations"]["results"] = _sends("results", [*commands, "error"])
    _add_message(document, "progress", JobProgressNotice.__name__)
    subject = names.notice("jobs", _KEY, "progress")
    document["channels"]["notice.jobs.progress"] = _channel(subject, ["progress"])
    document["operations"]["notice.jobs.progress"] = _sends("notice.jobs.progress", ["progress"])


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


def _headers() -> dict[str, Schema]:
    asked = (COMMAND_ID, EXPECTED_VERSION, ACTOR, CORRELATION_ID, CAUSATION_ID, TRACEPARENT)
    headers = {
        "CommandHeaders": object_of(dict.fromkeys(asked, TEXT), required=()),
        "QueryHeaders": object_of(
            {MINIMUM_POSITION: _LEAST_PLACE, READ: {"type": "string", "const": LEADER}}, required=()
        ),
        "QueryAnswerHeaders": object_of(_PLACE, required=()),
        "ErrorHeaders": object_of({ERROR: TEXT, ERROR_CODE: TEXT, **_PLACE}, required=(ERROR, ERROR_CODE)),
    }
    return {name: {"title": name, **schema} for name, schema in headers.items()}
