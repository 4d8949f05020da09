"""Refusing NaN and the infinities, of floats and of Decimals.

JSON cannot write them. msgspec writes such a float as `null`, which it does not read back as a float, and it
reads `"NaN"` and `"Infinity"` as Decimals, which cannot be compared with other numbers.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from domain.errors import Invalid

# The types of fields that may hold such a number: in bodies Decimals alone, since JSON has no such float.
OF_BODIES = (inspect.DecimalType,)
OF_EVENTS = (inspect.DecimalType, inspect.FloatType, inspect.AnyType)
_HINT = "nothing was changed: numbers are finite here"


def require_finite(value: Any, what: str = "") -> None:
    """Returns if every number in a struct is finite. `what` names the struct if it is not a command's body.

    Raises:
        Invalid: a number is not; the first such number and its path are told.
    """
    found = _first(value, "$")
    if found is not None:
        path, number = found
        if not what:
            raise Invalid(f"{number} is no number to reckon with", hint=_HINT, path=path)
        # The number stands in a struct that follows from the body, so its path is none of the body.
        raise Invalid(f"{path.removeprefix('$.')} of {what} would be {number}", hint=_HINT, path="$")


@cache
def may_be_unbounded(shape: Any, kinds: tuple[type[inspect.Type], ...]) -> bool:
    """Whether a struct holds something of these kinds, as msgspec describes them."""
    return _holds(inspect.type_info(shape), kinds, set())


def _holds(described: Any, kinds: tuple[type, ...], seen: set[int]) -> bool:
    if isinstance(described, kinds):
        return True
    if isinstance(described, tuple):
        return any(_holds(one, kinds, seen) for one in described)
    if not isinstance(described, inspect.Type | inspect.Field) or id(described) in seen:
        return False
    seen.add(id(described))
    return any(_holds(getattr(described, name), kinds, seen) for name in described.__struct_fields__)


def _first(value: Any, path: str) -> tuple[str, float | Decimal] | None:
    match value:
        case str() | bytes() | bool() | int() | None:
            return None
        case float():
            return None if math.isfinite(value) else (path, value)
        case Decimal():
            return None if value.is_finite() else (path, value)
    return next(filter(None, (_first(one, f"{path}{place}") for place, one in _parts(value))), None)


def _parts(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        return [(f".{told}", getattr(value, name)) for name, told in names]
    if isinstance(value, Mapping):
        return [(f".{name}", one) for name, one in value.items()]
    if isinstance(value, list | tuple):
        return [(f"[{place}]", one) for place, one in enumerate(value)]
    if isinstance(value, set | frozenset):
        return [("[...]", one) for one in value]
    if is_dataclass(value):
        return [(f".{name}", getattr(value, name, None)) for name in value.__dataclass_fields__]
    return ()
