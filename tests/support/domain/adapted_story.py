"""Stories of a class of the library, told as those of the house are.

story(Dog, "dogs").when("dogs.create", id="fido", name="Fido").then_told("dog.registered.v1", name="Fido")
"""

from functools import cache
from typing import Any, Self

import msgspec

from domain.decider import replay
from domain.installed.library import Adapted, adapted
from domain.messages import Event, Recorded
from tests.support.domain.given_when_then import KEY, Story


class AdaptedStory(Story):
    """A story of one aggregate of the library."""

    def __init__(self, brought: Adapted) -> None:
        super().__init__()
        self.brought = brought
        decider = brought.decider
        self.table = decider.table
        self.verbs = {decider.command_name(verb): (decider, verb) for verb in decider.verbs}
        self.deciders = {decider.table: decider}
        self.table_of = dict.fromkeys(decider.events.values(), decider.table)

    def event(self, type_name: str, **payload: Any) -> Event:
        """An event of the aggregate, as it is in the log."""
        return msgspec.convert(payload, self.brought.decider.events[type_name], strict=False)

    def happened(self, type_name: str, *, key: str = KEY, **payload: Any) -> Self:
        """This happened to the aggregate before."""
        self.given(self.event(type_name, **payload), key=key)
        return self

    def then_told(self, type_name: str, **payload: Any) -> Self:
        """The command led to exactly this event."""
        self.then(self.event(type_name, **payload))
        return self

    def row(self, key: str = KEY) -> dict[str, Any]:
        """The row of an aggregate, as it is stored, by column."""
        recorded = self.streams[self.table, key][-1]
        row = self.brought.row(self.state(self.table, key), recorded.version, recorded.position)
        return dict(zip(self.brought.row_shape.__struct_fields__, row, strict=True))

    def replayed(self, key: str = KEY) -> Any:
        """The state that is made of the events as the log has them."""
        stream = [
            Recorded(one.position, one.key, one.version, one.recorded_at, _through_json(one.event))
            for one in self.streams[self.table, key]
        ]
        return replay(self.brought.decider, stream)


@cache
def brought(kind: type, table: str) -> Adapted:
    """The aggregate that a class becomes; each class is read once."""
    return adapted(kind, table=table)


def story(kind: type, table: str) -> AdaptedStory:
    """A story in which nothing has happened."""
    return AdaptedStory(brought(kind, table))


def _through_json(event: Event) -> Event:
    return msgspec.json.decode(msgspec.json.encode(event), type=type(event))
