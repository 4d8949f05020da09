"""No schema takes long, whatever the document: to be registered, to be applied, or to tell what is wrong.

Time is what the thread worked, so that others on the machine are no part of it.
"""

import gc
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import Refusal
from domain.json_schema import Budget, acceptance, require_schema, violations
from domain.tool_configs.decider import MAXIMUM_CONFIG_BYTES
from tests.support.domain.honest_schemas import HONEST
from tests.support.domain.hostile_schemas import FORMATS, NUMBERS, PATTERNS, Hostility
from tests.support.examples import examples

LONGEST_MS = 100
# The limit of the tests, three times as long, for a machine that does other work, too.
PATIENT_MS = 3 * LONGEST_MS


def took_ms(work: Callable[[], Any]) -> tuple[float, Any]:
    """How long some work took, and its result or refusal."""
    # The collection of all that other tests have left, which may come at any time, is not its work.
    gc.disable()
    try:
        began = time.thread_time()
        try:
            result = work()
        except Refusal as refusal:
            result = refusal
        return (time.thread_time() - began) * 1_000, result
    finally:
        gc.enable()


class Counts:
    """Counts and the slowest time over some seeds."""

    def __init__(self) -> None:
        self.taken = self.refused = self.documents = self.too_large = 0
        self.slowest_ms = 0.0
        self.slowest = ""

    def note(self, milliseconds: float, what: str) -> None:
        if milliseconds > self.slowest_ms:
            self.slowest_ms, self.slowest = milliseconds, what

    def try_seed(self, seed: int) -> None:
        """One schema, with documents that grow until they are refused."""
        hostility = Hostility(seed)
        schema = hostility.schema()
        acceptance._refusal_or_taken.cache_clear()
        spent, result = took_ms(lambda: require_schema(schema, Budget()))
        self.note(spent, f"registering, seed {seed}")
        self.refused += isinstance(result, Refusal)
        self.taken += result is None
        # A refused schema is tried all the same: an older version may have registered it.
        text = msgspec.json.encode(schema).decode()
        for _ in range(3):
            self._try_documents(hostility, text, seed)

    def _try_documents(self, hostility: Hostility, text: str, seed: int) -> None:
        scale = 4
        while scale < 130_000:
            document = hostility.document(scale)
            if len(msgspec.json.encode(document)) > MAXIMUM_CONFIG_BYTES:
                return
            spent, result = took_ms(
                lambda: violations(text, document, "$", limit=20, budget=Budget())  # noqa: B023 # at once
            )
            self.note(spent, f"a document of scale {scale}, seed {seed}")
            self.documents += 1
            if isinstance(result, Refusal):
                self.too_large += result.code == "too_large"
                return
            scale *= 4


def test_hostile_schemas_take_no_longer_than_others():
    counts = Counts()
    for seed in range(40):
        counts.try_seed(seed)

    assert counts.slowest_ms < PATIENT_MS, counts.slowest
    # Neither are all refused, nor none.
    assert min(counts.taken, counts.refused, counts.too_large) > 3


@pytest.mark.prove
def test_two_thousand_hostile_schemas_take_no_longer_than_others():
    counts = Counts()
    for seed in range(2_000):
        counts.try_seed(seed)

    print(vars(counts))
    assert counts.slowest_ms < PATIENT_MS, counts.slowest


_LEAVES = st.one_of(
    st.builds(
        lambda value: {"pattern": value}, st.sampled_from(PATTERNS) | st.from_regex(r"[ab.*+?()|]{1,8}")
    ),
    st.builds(lambda value: {"format": value}, st.sampled_from(FORMATS)),
    st.builds(lambda value: {"multipleOf": abs(value) or 1}, st.sampled_from(NUMBERS)),
    st.builds(
        lambda value: {"enum": value}, st.lists(st.sampled_from(NUMBERS) | st.text(max_size=3), max_size=9)
    ),
    st.builds(lambda value: {"required": value}, st.lists(st.text(max_size=2), unique=True, max_size=9)),
    st.just({"uniqueItems": True}),
    st.booleans(),
)


_AROUND_ONE = (
    "if",
    "then",
    "else",
    "not",
    "items",
    "contains",
    "propertyNames",
    "additionalProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
)


def _around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    one = st.sampled_from(_AROUND_ONE)
    several = st.sampled_from(("allOf", "anyOf", "oneOf", "prefixItems"))
    named = st.sampled_from(("properties", "patternProperties", "dependentSchemas"))
    return st.builds(
        lambda *parts: {name: value for part in parts for name, value in part.items()},
        st.dictionaries(one, inner, max_size=3),
        st.dictionaries(several, st.lists(inner, min_size=1, max_size=3), max_size=2),
        st.dictionaries(named, st.dictionaries(st.sampled_from("ab"), inner, max_size=2), max_size=2),
    )


_SCHEMAS = st.recursive(_LEAVES, _around, max_leaves=30).filter(lambda schema: isinstance(schema, dict))
_VALUES = st.recursive(
    st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.text("ab1.ü", max_size=50),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
@given(schema=_SCHEMAS, value=_VALUES, times=st.sampled_from((1, 100, 1_000)))
def test_whatever_is_a_schema_takes_no_long_time(schema: dict[str, Any], value: Any, times: int):
    document = {"a": [value] * times, "b": value}
    text = msgspec.json.encode(schema).decode()

    registering, _ = took_ms(lambda: require_schema(schema, Budget()))
    applying, _ = took_ms(lambda: violations(text, document, "$", limit=20, budget=Budget()))

    assert registering < PATIENT_MS
    assert applying < PATIENT_MS


@pytest.mark.parametrize("name", HONEST)
def test_what_people_write_has_room_to_grow(name: str):
    """A configuration of twice the size is taken, too."""
    schema, document = HONEST[name]
    twice = document | {f"x-{key}": value for key, value in document.items()}
    relaxed = {key: value for key, value in schema.items() if key != "additionalProperties"}

    require_schema(relaxed, Budget())
    assert violations(msgspec.json.encode(relaxed).decode(), twice, "$", limit=20, budget=Budget()) == []
