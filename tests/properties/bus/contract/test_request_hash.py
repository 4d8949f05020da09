"""A command has the same hash with or without its defaults, and another hash for any other body."""

from collections.abc import Iterator
from functools import partial
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.contract.codec import decode_command, request_hash
from domain.catalogue import VERBS
from domain.messages import KEY_PATTERN
from tests.support.examples import examples

_TEXTS = ["a", "b1", "default", "x" * 30]


@pytest.mark.parametrize("name", VERBS)
@settings(max_examples=examples(40))
@given(data=st.data())
def test_a_default_that_is_said_makes_no_other_request(name: str, data):
    body = data.draw(bodies_of(VERBS[name][1].command))

    assert hash_of(name, with_defaults(body, VERBS[name][1].command)) == hash_of(name, body)


@pytest.mark.parametrize("name", VERBS)
@settings(max_examples=examples(40))
@given(data=st.data())
def test_two_bodies_are_one_request_only_if_they_say_the_same(name: str, data):
    shape = VERBS[name][1].command
    one, other = data.draw(bodies_of(shape)), data.draw(bodies_of(shape))

    same = with_defaults(one, shape) == with_defaults(other, shape)
    assert (hash_of(name, one) == hash_of(name, other)) == same


def test_every_default_is_said_by_some_body():
    spoken = {name for name, _ in defaults_of(VERBS["jobs.enqueue"][1].command)}

    assert {"queue", "priority", "payload", "max_attempts"} <= spoken


def hash_of(name: str, body: dict[str, Any]) -> bytes:
    return request_hash(name, None, decode_command(VERBS[name][1], msgspec.json.encode(body)))


def with_defaults(body: dict[str, Any], shape: type[msgspec.Struct]) -> dict[str, Any]:
    """The body with the defaults of all fields that it leaves out, also of inner structs."""
    told = dict(defaults_of(shape)) | body
    for field in msgspec.structs.fields(shape):
        inner = next(structs_in(field.type), None)
        held = told[field.name]
        if inner is not None and isinstance(held, dict):
            told[field.name] = with_defaults(held, inner)
        elif inner is not None and isinstance(held, list):
            told[field.name] = [with_defaults(one, inner) for one in held]
    return told


def defaults_of(shape: type[msgspec.Struct]) -> Iterator[tuple[str, Any]]:
    for field in msgspec.structs.fields(shape):
        if not field.required:
            factory = field.default_factory
            default = field.default if factory is msgspec.NODEFAULT else factory()
            yield field.name, msgspec.json.decode(msgspec.json.encode(default))


def structs_in(kind: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for argument in get_args(kind):
        yield from structs_in(argument)


def bodies_of(shape: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    """Bodies with all that is needed and some of the rest, in any order."""
    fields = msgspec.structs.fields(shape)
    needed = {field.name: values_of(field.type) for field in fields if field.required}
    optional = {field.name: values_of(field.type) for field in fields if not field.required}
    made = st.fixed_dictionaries(needed, optional=optional)
    # A struct may ask for more than its fields do.
    return made.filter(partial(can_be_read, shape)) if hasattr(shape, "__post_init__") else made


def can_be_read(shape: type[msgspec.Struct], body: dict[str, Any]) -> bool:
    try:
        msgspec.convert(body, shape)
    except msgspec.ValidationError:
        return False
    return True


def values_of(kind: Any, bounds: msgspec.Meta | None = None) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return values_of(arguments[0], arguments[1])
    if origin in (Union, UnionType):
        return st.one_of([values_of(one, bounds) for one in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (tuple, list):
        return st.lists(values_of(arguments[0]), min_size=(bounds and bounds.min_length) or 0, max_size=3)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return bodies_of(kind)
    return simple_values(kind, bounds)


def simple_values(kind: Any, bounds: msgspec.Meta | None) -> st.SearchStrategy[Any]:
    if kind is str:
        assert bounds is None or bounds.pattern is None or KEY_PATTERN[:10] == bounds.pattern[:10]
        return st.sampled_from(_TEXTS)
    if kind in (int, float):
        least = int(max((bounds and bounds.ge) or 0, ((bounds and bounds.gt) or -1) + 1))
        most = (bounds and bounds.le) or 10**6
        # Values near the minimum and the usual defaults, so that a value may equal a default.
        return st.sampled_from([one for one in (least, 2, 5, 30_000) if least <= one <= most])
    if kind is bool:
        return st.booleans()
    if kind is type(None):
        return st.none()
    if kind is msgspec.Raw:
        return st.sampled_from([None, {}, {"a": 1}, [], "", 0])
    assert get_origin(kind) is dict or kind is dict, kind
    return st.sampled_from([{}, {"a": "1"}])
