"""The only list of what exists: every aggregate, ours and others' (`domain.installed`), verb and event type.

It is made once, when this module is imported: which aggregates there are stays as it is while a process
runs.
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
# The tables of aggregates that somebody else wrote.
OTHERS: frozenset[str] = frozenset(one.decider.table for one in INSTALLED)


class TimelineForked(Event, frozen=True, kw_only=True):
    """A restore: from this position on, the log is another than it once was.

    Or a `leader` of a cluster that took over where the one before may have answered more: at least
    `missing_events`, as far as others had been told of them.
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
# Those that others may send, one by one.
COMMANDS: Mapping[str, Verb] = {name: verb for name, (_, verb) in VERBS.items() if not verb.internal}

EVENT_TYPES: Mapping[str, type[Event]] = {
    name: event for decider in DECIDERS for name, event in decider.events.items()
} | {TIMELINE_FORKED: TimelineForked}
_NAMES: dict[type[Event], str] = {event: name for name, event in EVENT_TYPES.items()}
# The table of each event. A decision may be about several tables.
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
    """The structure of an aggregate's state as a value, which tells whether a kept state can be read.

    Names and docstrings of its structs are part of it: another word in one, and no state that is kept is used
    any more.
    """
    return msgspec.json.schema(decider.state)
