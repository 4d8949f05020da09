"""A batch makes no more work than a few commands, whatever schemas and configurations are in it."""

import gc
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from domain.catalogue import VERBS
from domain.decider import Verb
from domain.errors import Refusal
from domain.json_schema import BATCH_NS, acceptance
from domain.messages import Event
from domain.tool_configs.decider import TABLE
from domain.tool_configs.messages import ConfigSet, SchemaRegistered
from tests.support.domain.given_when_then import Story
from tests.support.domain.hostile_schemas import Hostility

COMMANDS = 1_000
# The limit of the tests, three times as long, for a machine that does other work, too.
PATIENT_MS = 3 * BATCH_NS / 1_000_000
TOOL = "github"
COSTLY = {"additionalProperties": {"items": {"pattern": "^[ab]*a[ab]{200}c$"}}}
LARGE = {f"m{number}": "x" * 100 for number in range(2_000)}

Sent = tuple[str, dict[str, Any]]


def tried() -> Iterator[Sent]:
    """Configurations that are costly to compare with their schema, and small."""
    for number in range(COMMANDS):
        yield "validate", {"config": {"a": ["ab" * 50] * 4, "b": number}}


def registered() -> Iterator[Sent]:
    """Schemas that are costly to build, each another one; many are refused."""
    for seed in range(COMMANDS):
        yield "register_schema", {"schema": {"$comment": str(seed), **Hostility(seed).schema()}}


def patched() -> Iterator[Sent]:
    """Small patches, each of which makes another version of something large."""
    for number in range(COMMANDS):
        yield "patch", {"patch": {"number": number}}


GIVEN: dict[Any, tuple[Event, ...]] = {
    tried: (SchemaRegistered(schema=COSTLY),),
    registered: (),
    patched: (ConfigSet(enabled=True, config=LARGE, refresh_interval=None, notifications=True),),
}


@pytest.mark.parametrize("attack", [tried, registered, patched])
def test_what_a_batch_costs_is_bounded_and_beyond_it_everything_is_too_large(
    attack: Callable[[], Iterator[Sent]],
):
    decided = [_decoded(verb, body) for verb, body in attack()]
    story = Story().given(*GIVEN[attack], key=TOOL)
    state = story.state(TABLE, TOOL)
    codes: list[str | None] = []
    acceptance._refusal_or_taken.cache_clear()
    gc.disable()
    try:
        began = time.thread_time()
        for verb, command in decided:
            try:
                verb.decide(state, command, story, TOOL)
                codes.append(None)
            except Refusal as refusal:
                codes.append(refusal.code)
        spent_ms = (time.thread_time() - began) * 1_000
    finally:
        gc.enable()

    assert spent_ms < PATIENT_MS
    assert codes.count(None) > 3
    assert set(codes[-COMMANDS // 2 :]) == {"too_large"}
    story.when("tool_configs.validate", tool_name=TOOL, config={})
    assert story.refusal is None, "alone, it is taken"


def _decoded(name: str, body: dict[str, Any]) -> tuple[Verb, Any]:
    _, verb = VERBS[f"tool_configs.{name}"]
    return verb, msgspec.convert({"tool_name": TOOL, **body}, verb.command)
