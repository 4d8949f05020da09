"""States as plain values: an aggregate of the library is taken apart, and a new one is made for each use.

A command changes such a new aggregate, which is thrown away afterwards. So the writer can go back to any
earlier state, and a kept state never changes.
"""

from datetime import UTC, datetime, timedelta
from functools import cached_property
from types import ModuleType
from typing import Any

import msgspec

from domain.errors import TooLarge
from domain.finite import require_finite
from domain.installed.library.anatomy import OWN_ATTRIBUTES, Anatomy, functions_of, own_fields, revived
from domain.installed.library.annotations import classes_in, resolved
from domain.installed.library.attributes import Attribute
from domain.installed.library.identity import id_inside
from domain.installed.library.keeping import CannotKeepError, Keeper
from domain.installed.library.source import fingerprint
from domain.messages import Recorded

# The most bytes of a state as JSON: each command takes its aggregate apart and puts it together.
MAXIMUM_STATE_BYTES = 512 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENCODER = msgspec.json.Encoder()
# The method that `watch` replaces.
_TRIGGER = "trigger_event"


class LibraryState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an aggregate of the library is: its attributes as plain values, by name."""

    key: str
    version: int
    created_at: int
    updated_at: int
    attributes: dict[str, Any]


class States:
    """The states of one class: made of aggregates, and made into aggregates again."""

    def __init__(self, anatomy: Anatomy, table: str, attributes: tuple[Attribute, ...]) -> None:
        self._anatomy = anatomy
        self._table = table
        known = sorted(
            _classes_known(anatomy, attributes), key=lambda one: (one.__module__, one.__qualname__)
        )
        self.keeper = Keeper(known)
        told = fingerprint(*anatomy.own_classes, *self.keeper.classes.values())
        self.struct: Any = msgspec.defstruct(
            f"{anatomy.kind.__name__}State",
            [],
            bases=(LibraryState,),
            module=f"{anatomy.kind.__module__}.{anatomy.kind.__name__}",
            namespace={
                "__doc__": f"Made by {anatomy.where}, version {anatomy.class_version}, source {told}."
            },
            frozen=True,
            kw_only=True,
        )
        self._decoder: msgspec.json.Decoder[LibraryState] = msgspec.json.Decoder(self.struct)
        # Cached properties, which are not kept: their values follow from the other attributes.
        self._remembered = frozenset(
            name for name, (_, member) in anatomy.members.items() if isinstance(member, cached_property)
        )

    def attributes_of(self, aggregate: Any) -> dict[str, Any]:
        """The attributes of an aggregate as plain values, without the library's own.

        Raises:
            CannotKeepError: an attribute has a value of a class that is not known.
        """
        keep = self.keeper.keep
        attributes = {}
        for name, value in vars(aggregate).items():
            if name in OWN_ATTRIBUTES or name == _TRIGGER or name in self._remembered:
                continue
            try:
                attributes[name] = keep(value)
            except CannotKeepError as error:
                raise CannotKeepError(f"{self._anatomy.where}: the attribute {name}: {error}") from None
        return attributes

    def aggregate_of(self, state: LibraryState) -> Any:
        """A new aggregate in this state."""
        use = self.keeper.use
        return revived(
            self._anatomy.kind,
            {name: use(kept) for name, kept in state.attributes.items()},
            {
                "_id": id_inside(self._table, state.key),
                "_version": state.version + self._anatomy.first_version - 1,
                "_created_on": time_of(state.created_at),
                "_modified_on": time_of(state.updated_at),
            },
        )

    def after(self, before: LibraryState | None, recorded: Recorded, aggregate: Any) -> LibraryState:
        """The state that an aggregate is in after an event."""
        state: LibraryState = self.struct(
            key=recorded.key,
            version=recorded.version,
            created_at=recorded.recorded_at if before is None else before.created_at,
            updated_at=recorded.recorded_at,
            attributes=self.attributes_of(aggregate),
        )
        return state

    def require_keepable(self, state: LibraryState, what: str) -> None:
        """Returns if JSON gives the state back unchanged. `what` names the aggregate in a refusal.

        Raises:
            Invalid: a number in the state is NaN or infinite.
            TooLarge: the state is too large as JSON.
            CannotKeepError: JSON cannot hold the state, or does not give it back unchanged.
        """
        try:
            encoded = _ENCODER.encode(state)
            given_back = self._decoder.decode(encoded)
        except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
            raise CannotKeepError(f"{self._anatomy.where}: its state cannot be kept: {error}") from error
        if len(encoded) > MAXIMUM_STATE_BYTES:
            raise TooLarge(
                f"what {state.key} holds would have {len(encoded)} bytes, and may have {MAXIMUM_STATE_BYTES}",
                limit_bytes=MAXIMUM_STATE_BYTES,
                size_bytes=len(encoded),
            )
        if given_back != state:
            require_finite(state.attributes, f"the {what}")
            different = _different(state.attributes, given_back.attributes)
            raise CannotKeepError(
                f"{self._anatomy.where}: the attribute {different} does not come back from JSON as it was"
            )


def watch(aggregate: Any, now: datetime) -> None:
    """Gives this time to every event that an aggregate triggers from now on."""
    trigger = getattr(type(aggregate), _TRIGGER)

    def trigger_now(event_class: Any, **values: Any) -> None:
        values["timestamp"] = now
        trigger(aggregate, event_class, **values)

    # Python looks up an object's own attributes before the methods of its class.
    vars(aggregate)[_TRIGGER] = trigger_now


def time_of(milliseconds: int) -> datetime:
    """A time as the library has it. It is added to the epoch, since a float of seconds may be inexact."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def differing(one: dict[str, Any], other: dict[str, Any]) -> str | None:
    """The name of an attribute that is not the same in both; `None` if there is none."""
    return None if one == other else _different(one, other)


def _different(one: dict[str, Any], other: dict[str, Any]) -> str:
    nothing = object()
    names = (*one, *other)
    return next(name for name in names if one.get(name, nothing) != other.get(name, nothing))


def _classes_known(anatomy: Anatomy, attributes: tuple[Attribute, ...]) -> set[type]:
    """The classes that values of attributes may have: those of the class's package, and of annotations."""
    package = anatomy.kind.__module__.partition(".")[0]
    functions = [one for _, member in anatomy.members.values() for one in functions_of(member)]
    named = [value for one in functions for value in one.__globals__.values()]
    for module in [value for value in named if isinstance(value, ModuleType)]:
        if module.__name__.partition(".")[0] == package:
            named.extend(vars(module).values())
    known = {one for one in named if isinstance(one, type) and one.__module__.partition(".")[0] == package}
    hints: list[Any] = [one.hint for one in attributes]
    annotations = [text for one in functions for text in one.__annotations__.values()]
    annotations += [field.type for one in anatomy.events.values() for field in own_fields(one).values()]
    for text in annotations:
        try:
            hints.append(resolved(text, anatomy.kind.__module__, vars(anatomy.kind)))
        except (NameError, TypeError, AttributeError, SyntaxError):
            # A name that is not defined is no class of a value.
            continue
    known |= {one for hint in hints for one in classes_in(hint)}
    return {one for one in known if not issubclass(one, BaseException) and one is not anatomy.kind}
