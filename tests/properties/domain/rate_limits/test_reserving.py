"""Reservations never exceed the budget, in any order of observations and reservations.

Two laws, over generated histories: of the known state (no grant goes beyond the calls last said to remain),
and of the platform itself (it never refuses workers who call only within their reservations).
"""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.rate_limits.availability import availability, reservations_at
from domain.rate_limits.state import RateLimit
from tests.support.clock import NOW
from tests.support.domain.given_when_then import Story
from tests.support.examples import examples

PLATFORM = {"platform": "example"}
FAR = NOW + 86_400_000
WINDOW_MS = 60_000
LONG_WINDOW_MS = 600_000
LIMIT = 40
LONG_LIMIT = 45
IDS = [f"r{number}" for number in range(6)]


def state_of(story: Story) -> RateLimit:
    found: RateLimit = story.state("rate_limits", "example")
    return found


class WhatIsKnown(RuleBasedStateMachine):
    """Observations of any remaining calls come in any order, within one window."""

    @initialize(remaining=st.integers(0, LIMIT))
    def first(self, remaining: int) -> None:
        self.story = Story()
        self.story.when("rate_limits.reserve", **PLATFORM, reservation="first")
        self.left = LIMIT
        self.observe(remaining, 0, None)

    @rule(remaining=st.integers(0, LIMIT), age=st.integers(0, 3), named=st.sampled_from([None, *IDS]))
    def observe(self, remaining: int, age: int, named: str | None) -> None:
        at = self.story.now - age
        is_out = any(one.id == named for one in self._reservations())
        # An observation that said nothing new was left out, so nothing is known of it.
        kept_at = state_of(self.story).observed_at or 0
        body: dict[str, Any] = {"remaining": remaining, "limit": LIMIT, "reset_time": FAR, "observed_at": at}
        if named is not None:
            body["reservation"] = named
        self.story.when("rate_limits.observe", **PLATFORM, **body)
        if is_out:
            # A confirmation does not bring calls back: the platform may have answered in another order.
            self.left = min(self.left, remaining)
        elif at >= kept_at:
            self.left = remaining

    @rule(named=st.sampled_from(IDS), cost=st.integers(1, LIMIT), ttl_ms=st.integers(1_000, 1_010))
    def reserve(self, named: str, cost: int, ttl_ms: int) -> None:
        before = {one.id for one in reservations_at(state_of(self.story), self.story.now)}
        self.story.when("rate_limits.reserve", **PLATFORM, reservation=named, cost=cost, ttl_ms=ttl_ms)
        result = self.story.decision.result
        if result is not None and result.granted and named not in before:
            assert self._reserved() <= self.left

    @rule(named=st.sampled_from(IDS), used=st.integers(0, LIMIT))
    def release(self, named: str, used: int) -> None:
        if any(one.id == named for one in self._reservations()):
            self.left = max(0, self.left - used)
        self.story.when("rate_limits.release", **PLATFORM, reservation=named, used=used)

    @rule(milliseconds=st.sampled_from([1, 2, 500, 1_005]))
    def later(self, milliseconds: int) -> None:
        self.story.later(milliseconds)

    @invariant()
    def what_remains_is_never_more_than_was_said(self) -> None:
        here = availability(state_of(self.story), 1, self.story.now)
        assert here.remaining is not None
        assert 0 <= here.remaining <= max(0, self.left - self._reserved())

    def _reservations(self) -> tuple[Any, ...]:
        return state_of(self.story).reservations

    def _reserved(self) -> int:
        return sum(one.cost for one in reservations_at(state_of(self.story), self.story.now))


class ThePlatform(RuleBasedStateMachine):
    """A platform with two fixed windows, and workers who call within their reservations.

    Each response tells of the short window, not each of the long one.

    Responses are delivered in any order and as late as can be, but before their reservation runs out: for
    longer than its calls take is what a reservation is for.
    """

    @initialize()
    def first(self) -> None:
        self.story = Story().at(NOW + 7)
        self.spent = self.spent_long = 0
        self.ids = 0
        # By reservation: how many calls it is for, when it runs out, and the response to its calls.
        self.held: dict[str, tuple[int, int]] = {}
        self.responses: dict[str, tuple[int, dict[str, str], int]] = {}
        self.look(tells_all=True)

    @rule(cost=st.sampled_from([5, 20, LIMIT]), ttl_ms=st.sampled_from([1_000, 30_000, 90_000]))
    def reserve(self, cost: int, ttl_ms: int) -> None:
        self.ids += 1
        named = f"r{self.ids}"
        self.story.when("rate_limits.reserve", **PLATFORM, reservation=named, cost=cost, ttl_ms=ttl_ms)
        if self.story.decision.result.granted:
            self.held[named] = (cost, self.story.decision.result.expires_at)

    @precondition(lambda self: self.held.keys() - self.responses.keys())
    @rule(data=st.data(), tells_all=st.sampled_from([False, False, True]))
    def call(self, data: Any, tells_all: bool) -> None:
        named = data.draw(st.sampled_from(sorted(self.held.keys() - self.responses.keys())))
        cost = self.held[named][0]
        calls = data.draw(st.sampled_from([cost, 1 + cost // 2]))
        self.spent += calls
        self.spent_long += calls
        assert self.spent <= LIMIT, "the platform would have refused"
        assert self.spent_long <= LONG_LIMIT, "the platform would have refused"
        self.responses[named] = (calls, self._headers(tells_all=tells_all), self.story.now)

    @precondition(lambda self: self.responses)
    @rule(data=st.data(), is_told=st.booleans())
    def deliver(self, data: Any, is_told: bool) -> None:
        named = data.draw(st.sampled_from(sorted(self.responses)))
        self._deliver(named, is_told=is_told)

    @precondition(lambda self: self.held.keys() - self.responses.keys())
    @rule(data=st.data())
    def give_back(self, data: Any) -> None:
        named = data.draw(st.sampled_from(sorted(self.held.keys() - self.responses.keys())))
        del self.held[named]
        self.story.when("rate_limits.release", **PLATFORM, reservation=named)

    @rule(tells_all=st.sampled_from([False, False, True]))
    def look(self, tells_all: bool) -> None:
        """A worker asks the platform how many calls remain, and reports it."""
        self.story.when(
            "rate_limits.observe_response", **PLATFORM, status=200, headers=self._headers(tells_all=tells_all)
        )

    @rule(milliseconds=st.sampled_from([1, 999, 29_000, WINDOW_MS]))
    def later(self, milliseconds: int) -> None:
        until = self.story.now + milliseconds
        for named, (_, expires_at) in sorted(self.held.items()):
            if expires_at <= until:
                if named in self.responses:
                    self._deliver(named, is_told=True)
                # Its worker is gone without having called, and does not call any more.
                self.held.pop(named, None)
        if until // WINDOW_MS != self.story.now // WINDOW_MS:
            self.spent = 0
        if until // LONG_WINDOW_MS != self.story.now // LONG_WINDOW_MS:
            self.spent_long = 0
        self.story.at(until)

    def _deliver(self, named: str, *, is_told: bool) -> None:
        calls, headers, at = self.responses.pop(named)
        del self.held[named]
        if is_told:
            body = {"status": 200, "headers": headers, "observed_at": at, "reservation": named}
            self.story.when("rate_limits.observe_response", **PLATFORM, **body)
        else:
            self.story.when("rate_limits.release", **PLATFORM, reservation=named, used=calls)

    def _headers(self, *, tells_all: bool) -> dict[str, str]:
        headers = {
            "X-RateLimit-Limit": str(LIMIT),
            "X-RateLimit-Remaining": str(LIMIT - self.spent),
            "X-RateLimit-Reset": str((self.story.now // WINDOW_MS + 1) * WINDOW_MS // 1000),
        }
        if tells_all:
            # In whole seconds from now, rounded up.
            left = -(-(LONG_WINDOW_MS - self.story.now % LONG_WINDOW_MS) // 1000)
            headers["RateLimit"] = f'"long";r={LONG_LIMIT - self.spent_long};t={left}'
            headers["RateLimit-Policy"] = f'"long";q={LONG_LIMIT};w={LONG_WINDOW_MS // 1000}'
        return headers


TestWhatIsKnown = WhatIsKnown.TestCase
TestWhatIsKnown.settings = settings(max_examples=examples(100), stateful_step_count=40, deadline=None)
TestThePlatform = ThePlatform.TestCase
TestThePlatform.settings = settings(max_examples=examples(100), stateful_step_count=40, deadline=None)
