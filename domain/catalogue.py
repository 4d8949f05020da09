"""The only list of aggregates, verbs and event types: ours, and those of other packages (`domain.installed`).

It is made once, when this module is imported, and does not change while a process runs.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from domain import app_state, jobs, queues, rate_limits, schedules, tool_configs
from domain.decider import Decider, Verb
from domain.installed.checking import admitted
from domain.installed.loading import Installed, installed
from domain.messages import Event
from domain.upcasters import Upcasters, upcast

OWN: tuple[Decider, ...] = (
    jobs.DECIDER,
    queues.DECIDER,
    schedules.DECIDER,
    rate_limits.DECIDER,
    tool_configs.DECIDER,
    app_state.DECIDER,
)
INSTALLED: tuple[Installed, ...] = installed()
DECIDERS: tuple[Decider, ...] = admitted(OWN, INSTALLED)
# The tables of the aggregates that other packages bring.
OTHERS: frozenset[str] = frozenset(one.decider.table for one in INSTALLED)


class TimelineForked(Event, frozen=True, kw_only=True):
    """A restore: from this position on, the log differs from what it was before.

    Or a takeover by a `leader` of a cluster, where the leader before may have answered more: at least
    `missing_events` are missing, as far as other members and subscribers had been told of them.
    """

    timeline: int
    restored_position: int
    leader: str | None = None
    missing_events: int = 0


# The only event that belongs to no aggregate.
TIMELINE_STREAM = "system/timeline"
TIMELINE_FORKED = "timeline.forked.v1"

BY_TABLE: Mapping[str, Decider] = {decider.table: decider for decider in DECIDERS}
VERBS: Mapping[str, tuple[Decider, Verb]] = {
    decider.command_name(verb): (decider, verb) for decider in DECIDERS for verb in decider.verbs
}
# The commands that clients may send: all but the internal ones.
COMMANDS: Mapping[str, Verb] = {name: verb for name, (_, verb) in VERBS.items() if not verb.internal}

EVENT_TYPES: Mapping[str, type[Event]] = {
    name: event for decider in DECIDERS for name, event in decider.events.items()
} | {TIMELINE_FORKED: TimelineForked}
_NAMES: dict[type[Event], str] = {event: name for name, event in EVENT_TYPES.items()}
# The table of each event class. The events of one decision may belong to several tables.
TABLE_OF: Mapping[type[Event], str] = {
    event: decider.table for decider in DECIDERS for event in decider.events.values()
}
UPCASTERS: Upcasters = {old: step for decider in DECIDERS for old, step in decider.upcasters.items()}
_DECODERS = {name: msgspec.json.Decoder(event) for name, event in EVENT_TYPES.items()}
_ENCODER = msgspec.json.Encoder()


class UnknownEventTypeError(LookupError):
    """The log holds a type of event that this program does not know: a newer one wrote it."""


def encode_event(event: Event) -> tuple[str, bytes]:
    """The stable type name and the JSON of an event."""
    return _NAMES[type(event)], _ENCODER.encode(event)


def decode_event(type_name: str, data: str | bytes) -> Event:
    """The event of a stored type name and JSON, brought to today's form.

    Raises:
        UnknownEventTypeError: the type is not in the catalogue.
        msgspec.MsgspecError: the JSON is not an event of that type.
    """
    if type_name in UPCASTERS:
        type_name, upcasted = upcast(type_name, msgspec.json.decode(data), UPCASTERS)
        # Encoded again, since a field that keeps its JSON as it came can only be filled from JSON.
        data = _ENCODER.encode(upcasted)
    try:
        decoder = _DECODERS[type_name]
    except KeyError:
        raise UnknownEventTypeError(
            f"the log holds an event of type {type_name}, which this program does not know"
        ) from None
    return decoder.decode(data)


def state_shape(decider: Decider) -> Any:
    """The JSON Schema of an aggregate's state: a kept state can be read only if its schema was the same.

    Names and docstrings of the structs are part of the schema. After a change of one word in them, no kept
    state of the aggregate is used any more.
    """
    return msgspec.json.schema(decider.state)
