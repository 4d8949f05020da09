"""The calls left by platform and resource, from the rows: the same as the domain's, tightest limit first."""

import random
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from bus.log.states import read_aggregate
from domain.rate_limits import TABLE
from domain.rate_limits.availability import STALE_AFTER_MS, budgets_at
from domain.rate_limits.messages import key_of
from domain.rate_limits.state import RateLimit, tightest
from projections.rate_limits import CallsLeft, GetRateLimit, calls_left
from tests.support.clock import HOUR_MS, NOW, Clock
from tests.support.stores.writing import Store


def left(store: Store, now: int) -> dict[tuple[str, str], CallsLeft]:
    found: list[CallsLeft] = store.in_writer(lambda connection: list(calls_left(connection, now)))
    return {(one.platform, one.resource): one for one in found}


def observe(store: Store, platform: str, **fields: Any) -> None:
    store.send("rate_limits.observe", {"platform": platform, **fields})


def test_after_its_reset_a_limit_is_full_again(tmp_path: Path):
    with Store(tmp_path / "hyperpage.db", Clock()) as store:
        observe(store, "github", resource="core", remaining=0, limit=5_000, reset_time=NOW + HOUR_MS)

        [spent] = left(store, NOW + HOUR_MS - 1).values()
        assert (spent.calls, spent.limit, spent.resets_at) == (0, 5_000, NOW + HOUR_MS)
        [full] = left(store, NOW + HOUR_MS).values()
        assert (full.calls, full.limit, full.resets_at) == (5_000, 5_000, None)


def test_of_a_resource_the_identifier_with_the_least_counts(tmp_path: Path):
    with Store(tmp_path / "hyperpage.db", Clock()) as store:
        observe(store, "github", remaining=9, limit=60)
        observe(store, "github", resource="core", identifier="a", remaining=100, limit=5_000)
        observe(store, "github", resource="core", identifier="b", remaining=70, limit=1_000)

        found = left(store, NOW)

        assert {key: one.calls for key, one in found.items()} == {("github", ""): 9, ("github", "core"): 70}
        assert found["github", "core"].limit == 1_000


def test_nothing_is_let_through_while_a_platform_refuses(tmp_path: Path):
    with Store(tmp_path / "hyperpage.db", Clock()) as store:
        observe(store, "github", resource="core", remaining=100, limit=5_000)
        answer = {"resource": "core", "status": 429, "headers": {"retry-after": "90"}}
        store.send("rate_limits.observe_response", {"platform": "github", **answer})

        refused = left(store, NOW)["github", "core"]
        assert (refused.calls, refused.resets_at) == (0, NOW + 90_000)
        assert left(store, NOW + 90_000)["github", "core"].calls == 100


def test_a_window_that_nobody_told_the_end_of_says_nothing_after_a_while(tmp_path: Path):
    with Store(tmp_path / "hyperpage.db", Clock()) as store:
        observe(store, "github", remaining=0)

        assert left(store, NOW + STALE_AFTER_MS)["github", ""].calls == 0
        assert left(store, NOW + STALE_AFTER_MS + 1) == {}


@pytest.mark.parametrize("seed", range(3))
def test_the_rows_say_what_the_limits_themselves_do(tmp_path: Path, seed: int):
    chance = random.Random(seed)
    limits = [{"platform": f"p{one % 5}", "resource": "r", "identifier": str(one)} for one in range(40)]
    with Store(tmp_path / "hyperpage.db", Clock()) as store:
        for limit in limits:
            if chance.random() < 0.5:
                answer = {"status": 200, "headers": policies(chance)}
                store.send("rate_limits.observe_response", limit | answer)
            else:
                store.send("rate_limits.observe", limit | observation(chance))

        for now in (NOW, NOW + 30_000, NOW + 4_000_000, NOW + 10**8):
            expected: dict[tuple[str, str], int] = {}
            for limit, state in zip(limits, store.in_writer(partial(states, limits)), strict=True):
                if (calls := let_through(state, now)) is not None:
                    name = (limit["platform"], "r")
                    expected[name] = min(calls, expected.get(name, calls))
            assert {key: one.calls for key, one in left(store, now).items()} == expected


def policies(chance: random.Random) -> dict[str, str]:
    """Headers with two policies."""
    burst, day = (
        f"r={chance.randrange(most)};t={chance.randrange(last)}" for most, last in ((60, 60), (5_000, 86_400))
    )
    return {
        "ratelimit-policy": '"burst";q=60;w=60, "day";q=5000;w=86400',
        "ratelimit": f'"burst";{burst}, "day";{day}',
    }


def observation(chance: random.Random) -> dict[str, int]:
    """An observation of a limit, with some of the values left out."""
    told = {"remaining": chance.randrange(100), "limit": 100, "reset_time": NOW + chance.randrange(10**7)}
    return {name: value for name, value in told.items() if chance.random() < 0.8}


def states(limits: list[dict[str, str]], connection: apsw.Connection) -> list[RateLimit | None]:
    keys = (key_of(msgspec.convert(limit, GetRateLimit)) for limit in limits)
    return [read_aggregate(connection, TABLE, key).state for key in keys]


def let_through(state: RateLimit | None, now: int) -> int | None:
    """The calls that a limit lets through, by the policies whose window may still be known."""
    if state is None:
        return None
    known = tuple(
        at
        for budget, at in zip(state.budgets, budgets_at(state, now), strict=True)
        if budget.reset_time is not None or now - budget.observed_at <= STALE_AFTER_MS
    )
    binding = tightest(known)
    return None if binding is None else binding.remaining
