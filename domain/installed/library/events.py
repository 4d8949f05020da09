"""The library's events as events of this service, and back."""

from collections.abc import Mapping
from dataclasses import MISSING
from datetime import datetime
from inspect import cleandoc
from typing import Any, get_type_hints

import msgspec

from domain.errors import TooLarge
from domain.finite import OF_EVENTS, may_be_unbounded, require_finite
from domain.installed.error import AggregateError
from domain.installed.library.anatomy import Anatomy, own_fields
from domain.installed.library.annotations import require_json
from domain.installed.library.keeping import CannotKeepError, Keeper, is_changeable
from domain.installed.library.names import change_of, singular
from domain.messages import Event
from domain.upcasters import Upcasters

# The most bytes of an event as JSON: it is published as one message, with an envelope.
MAXIMUM_EVENT_BYTES = 512 * 1024
_ENCODER = msgspec.json.Encoder()


class EventForm:
    """One event class of the library: its type name, its struct, and the conversions between both."""

    def __init__(self, anatomy: Anatomy, name: str, prefix: str) -> None:
        self._where = f"{anatomy.where}.{name}"
        self.event_class: Any = anatomy.events[name]
        self.version: int = getattr(self.event_class, "class_version", 1)
        self._unversioned = f"{prefix}.{change_of(self.event_class)}"
        self.type_name = f"{self._unversioned}.v{self.version}"
        self._is_creation = anatomy.is_creation(self.event_class)
        self._topic = anatomy.topic
        fields = own_fields(self.event_class)
        hints = self._hints()
        self.struct: Any = msgspec.defstruct(
            self.event_class.__name__,
            [_struct_field(name, hints[name], field, self._where) for name, field in fields.items()],
            bases=(Event,),
            module=f"{anatomy.kind.__module__}.{anatomy.kind.__name__}",
            namespace={"__doc__": _doc(self.event_class)},
            frozen=True,
            kw_only=True,
            # Defaults are stored: the class may have another default later, and the event must not change.
            omit_defaults=False,
        )
        self._names = tuple(fields)
        self._may_be_unbounded = may_be_unbounded(self.struct, OF_EVENTS)
        self._decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(self.struct)

    def told(self, event: Any) -> Event:
        """The struct of an event of the library, as the log will give it back.

        Raises:
            Invalid: a number in it is NaN or infinite.
            TooLarge: it is too large for a message.
            CannotKeepError: JSON cannot hold the event, or does not give it back unchanged.
        """
        told = self.struct(**{name: getattr(event, name) for name in self._names})
        if self._may_be_unbounded:
            require_finite(told, f"the event {self.type_name}")
        try:
            encoded = _ENCODER.encode(told)
            given_back = self._decoder.decode(encoded)
        except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
            raise CannotKeepError(f"{self._where} cannot be told as JSON: {error}") from error
        if len(encoded) > MAXIMUM_EVENT_BYTES:
            raise TooLarge(
                f"{self.type_name} would have {len(encoded)} bytes, and may have {MAXIMUM_EVENT_BYTES}",
                limit_bytes=MAXIMUM_EVENT_BYTES,
                size_bytes=len(encoded),
            )
        if given_back != told:
            name = next(one for one in self._names if getattr(told, one) != getattr(given_back, one))
            raise CannotKeepError(
                f"{self._where}.{name} holds a {type(getattr(told, name)).__name__} that JSON does not"
                " give back as what is annotated: annotate what it holds"
            )
        return given_back

    def happened(self, event: Event, keeper: Keeper, own_id: Any, version: int, at: datetime) -> Any:
        """The library's event of a struct, made as the library's mapper does: without calling its class."""
        values: dict[str, Any] = {
            "originator_id": own_id,
            "originator_version": version,
            "timestamp": at,
        }
        if self._is_creation:
            values["originator_topic"] = self._topic
        for name in self._names:
            value = getattr(event, name)
            # Copied: a mutator may put a list into the aggregate and change it there, but not in the event.
            values[name] = keeper.use(keeper.keep(value)) if is_changeable(value) else value
        made = object.__new__(self.event_class)
        vars(made).update(values)
        return made

    def upcasters(self) -> Upcasters:
        """The steps from older versions of this type to this one.

        Raises:
            AggregateError: a step is missing.
        """
        steps = {}
        for version in range(1, self.version):
            name = f"upcast_v{version}_v{version + 1}"
            upcast = getattr(self.event_class, name, None)
            if upcast is None:
                raise AggregateError(
                    self._where,
                    f"its class_version is {self.version}, and it has no {name}",
                    hint=f"give it a static method {name}(state)",
                )
            following = f"{self._unversioned}.v{version + 1}"
            steps[f"{self._unversioned}.v{version}"] = (following, _step(upcast))
        return steps

    def _hints(self) -> Mapping[str, Any]:
        try:
            return get_type_hints(self.event_class, include_extras=True)
        except (NameError, TypeError, AttributeError, SyntaxError) as error:
            raise AggregateError(
                self._where,
                f"its annotations cannot be resolved ({error})",
                hint="import what they name at the top of the module, not for type checkers alone",
            ) from error


class Events:
    """All events of a class."""

    def __init__(self, anatomy: Anatomy, table: str, names: list[str]) -> None:
        prefix = singular(table)
        self._forms = {name: EventForm(anatomy, name, prefix) for name in names}
        self.types: dict[str, type[Event]] = {}
        for name, form in self._forms.items():
            if form.type_name in self.types:
                raise AggregateError(
                    f"{anatomy.where}.{name}",
                    f"another event is called {form.type_name}, too",
                    hint="rename one of the two",
                )
            self.types[form.type_name] = form.struct
        self._of_struct = {form.struct: form for form in self._forms.values()}
        self._where = anatomy.where

    def structs(self, names: frozenset[str]) -> tuple[type[Event], ...]:
        """The structs of the events with these names, in the order of the class."""
        return tuple(form.struct for name, form in self._forms.items() if name in names)

    def form(self, event: Event) -> EventForm:
        return self._of_struct[type(event)]

    def told(self, event: Any) -> Event:
        """The struct of an event that the library made."""
        form = self._forms.get(type(event).__name__)
        if form is None:
            raise CannotKeepError(
                f"{self._where} triggers a {type(event).__qualname__}, which is none of its own"
            )
        return form.told(event)

    def upcasters(self) -> Upcasters:
        return {old: step for form in self._forms.values() for old, step in form.upcasters().items()}


def _struct_field(name: str, hint: Any, field: Any, where: str) -> Any:
    kind = require_json(_known(hint), f"{where}.{name}")
    # A default that a function makes is left out: it may be another one when the log is read again.
    if field.default is MISSING or is_changeable(field.default):
        return name, kind
    return name, kind, field.default


def _known(hint: Any) -> Any:
    # The library annotates fields of unannotated parameters with the mark that `inspect` has for these.
    return Any if isinstance(hint, type) and hint.__module__ == "inspect" else hint


def _step(upcast: Any) -> Any:
    def step(data: dict[str, Any]) -> dict[str, Any]:
        changed = dict(data)
        upcast(changed)
        return changed

    return step


def _doc(event_class: type) -> str | None:
    """The docstring of the class; `None` if it has none, or only the one that `dataclass` makes."""
    own = vars(event_class).get("__doc__") or ""
    return None if not own or own.startswith(f"{event_class.__name__}(") else cleandoc(own)
