"""Creating an aggregate by its class's own code, with the id and the time of the command."""

from datetime import datetime
from inspect import signature
from types import FunctionType
from typing import Any

from domain.installed.library.identity import is_by_chance
from domain.installed.library.states import watch


class Maker:
    """The `cls` that a class method gets: it creates with the given id and time, and else is like the class.

    `cls._create(…)` and `cls(…)` in the method call it. A method that names the class itself bypasses it,
    which `Deciding.creating` notices by the id.
    """

    def __init__(self, kind: Any, event_name: str | None, own_id: Any, now: datetime) -> None:
        self._kind = kind
        self._event_name = event_name
        self._own_id = own_id
        self._now = now
        self._made: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kind, name)

    def __call__(self, *values: Any, **named: Any) -> Any:
        if self._event_name is None:
            raise TypeError(f"calling {self._kind.__qualname__} may make one of several events")
        if isinstance(self._kind.__init__, FunctionType):
            # `None` stands for the object, which does not exist yet.
            bound = signature(self._kind.__init__).bind(None, *values, **named)
            bound.apply_defaults()
            named = dict(list(bound.arguments.items())[1:])
        return self._create(getattr(self._kind, self._event_name), **named)

    def _create(self, event_class: Any, *, id: Any = None, **values: Any) -> Any:  # noqa: A002 (as the library says)
        if self._made is not None:
            raise TypeError(f"one command creates one {self._kind.__qualname__}, and this is the second")
        if id is not None and id != self._own_id and not is_by_chance(id):
            raise TypeError(
                f"{self._kind.__qualname__} gets the id {id}, and {self._own_id} was to be expected:"
                " what an id follows from is said by a create_id with parameters"
            )
        values["timestamp"] = self._now
        self._made = self._kind._create(event_class, id=self._own_id, **values)
        watch(self._made, self._now)
        return self._made
