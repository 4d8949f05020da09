"""Types of installed aggregates, reduced to the kinds that the clients' types are written in."""

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar, get_args, get_type_hints

import msgspec
import pytest

from ops.contract.client_types.plain import Plain

T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Point(NamedTuple):
    x: float
    y: float


class Pair(msgspec.Struct, array_like=True, tag="pair"):
    left: int
    right: str


class Some(TypedDict, total=False):
    text: str


class Box(msgspec.Struct, Generic[T]):
    held: T


class Node(msgspec.Struct):
    name: str
    below: list["Node"]


class Plan(msgspec.Struct):
    pages: frozenset[int] = frozenset({1})
    share: float = float("nan")
    note: str = "none"


def plain(kind: Any, *, is_sent: bool = True) -> Any:
    return Plain(()).kind(kind, "Shop", is_sent=is_sent)


def fields(struct: Any) -> dict[str, Any]:
    return get_type_hints(struct, include_extras=True)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (list[int], tuple[int, ...]),
        (Point, tuple[float, float]),
        (Pair, tuple[Literal["pair"], int, str]),
        (dict[str, list[bool]], dict[str, tuple[bool, ...]]),
        (Annotated[int, msgspec.Meta(ge=1, description="how many")], (int, "how many")),
        (
            Annotated[str, msgspec.Meta(extra_json_schema={"format": "decimal"})],
            (Decimal, "a decimal"),
        ),
        (datetime, (datetime, "a time, as in ISO 8601")),
    ],
)
def test_a_type_is_as_json_has_it(kind: Any, expected: Any) -> None:
    found = plain(kind)

    if isinstance(expected, tuple):
        bare, said = expected
        assert get_args(found)[0] == bare
        assert any((one.description or "").startswith(said) for one in found.__metadata__)
    else:
        assert found == expected


def test_the_values_of_a_closed_set_stay_in_their_order() -> None:
    assert get_args(get_args(plain(Colour))[0]) == ("red", "blue")
    assert get_args(get_args(plain(Literal["z", "a", "m"]))[0]) == ("z", "a", "m")


def test_a_struct_within_itself_is_not_told_any_further() -> None:
    assert fields(plain(Node)) == {"name": str, "below": tuple[Any, ...]}


def test_each_struct_has_a_name_of_its_own() -> None:
    one = Plain({"Some"})

    names = [one.kind(kind, "Shop", is_sent=True).__name__ for kind in (Box[int], Box[str], Box[int], Some)]

    assert names == ["Box", "ShopBox", "Box", "ShopSome"]


def test_what_is_sent_may_leave_out_what_the_service_knows() -> None:
    sent, answered = plain(Plan), plain(Plan, is_sent=False)

    assert [field.default for field in msgspec.structs.fields(sent)] == [msgspec.UNSET, msgspec.UNSET, "none"]
    assert all(field.required for field in msgspec.structs.fields(answered))
    assert not msgspec.structs.fields(plain(Some, is_sent=False))[0].required
