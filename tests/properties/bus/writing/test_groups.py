"""Jobs that wait for a group begin exactly when the rule says, and once, whatever the group's jobs do."""

import math
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.jobs.groups import counts_of
from tests.support.clock import Clock
from tests.support.stores.writing import Sent, Store

GROUP = "import-7"
MEMBERS = ("a", "b", "c")
FOLLOWERS = ("x", "y", "z")
ENDED = {"completed", "failed", "cancelled"}
BY_GROUP = {"filter": {"group_id": GROUP}, "limit": 1_000}

Command = tuple[str, str, dict[str, Any]]


class Model:
    """The states of a group's jobs, and of jobs that wait for the group, by the rule alone."""

    def __init__(self) -> None:
        self.members: dict[str, str] = {}
        self.followers: dict[str, dict[str, Any]] = {}

    @property
    def is_awaited(self) -> bool:
        return any(
            one["state"] in ("blocked", "held") and not one["begun"] for one in self.followers.values()
        )

    def rule(self, when: str, policy: str) -> str:
        """The next state of a job that waits with that rule and that policy."""
        ends = [state for state in self.members.values() if state in ENDED]
        is_over = len(ends) == len(self.members) > 0
        has_failed = set(ends) - {"completed"} != set()
        if (when == "one_failed" and has_failed) or (when == "all_ended" and is_over):
            return "pending"
        if is_over and (policy == "run" or (when == "all_completed" and not has_failed)):
            return "pending"
        is_lost = has_failed if when == "all_completed" else is_over
        return "cancelled" if is_lost and policy == "cancel" else "blocked"

    def decide(self) -> None:
        """Applies the rule to all jobs that wait and are not held."""
        for one in self.followers.values():
            if one["state"] == "blocked":
                self._wait(one)

    def tell(self, verb: str, key: str, more: dict[str, Any]) -> bool:
        """Carries out a command; whether it is accepted."""
        is_done = self._member(verb, key) if key in MEMBERS else self._follower(verb, key, more)
        self.decide()
        return is_done

    def _member(self, verb: str, key: str) -> bool:
        state = self.members.get(key)
        match verb, state:
            case "enqueue", None:
                self.members[key] = "pending"
            case "complete" | "fail", "running":
                self.members[key] = "completed" if verb == "complete" else "failed"
            case "cancel", "pending":
                self.members[key] = "cancelled"
            case "cancel", "running":
                pass
            case "retry", "failed" | "cancelled":
                self.members[key] = "pending"
            case "archive", "completed" | "failed" | "cancelled" if not self.is_awaited:
                del self.members[key]
            case _:
                return False
        return True

    def _follower(self, verb: str, key: str, more: dict[str, Any]) -> bool:
        new = {"state": "", "begun": False} | more
        one = self.followers.get(key, new)
        match verb, one["state"]:
            case "enqueue", "":
                one["state"] = "held"
                if not one["hold"]:
                    self._wait(one)
                if one["state"] == "cancelled":
                    return False
                self.followers[key] = one
            case "cancel", "blocked" | "held" | "pending":
                one["state"] = "cancelled"
            case "retry", "cancelled":
                self._wait(one)
                return bool(one["state"] != "cancelled")
            case "hold", "blocked" | "held" | "pending":
                one["state"] = "held"
            case "release", "held":
                self._wait(one)
            case _:
                return False
        return True

    def _wait(self, one: dict[str, Any]) -> None:
        one["state"] = "pending" if one["begun"] else self.rule(one["when"], one["policy"])
        one["begun"] = one["state"] == "pending"


class World:
    """A store, and the model beside it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "hyperpage.db"
        self._clock = Clock()
        self.store = self._opened()
        self.model = Model()
        self._leases: dict[str, str] = {}

    def _opened(self) -> Store:
        # With next to no cache, so that states are read from the log.
        return Store(self._path, self._clock, cache_capacity=2, next_upkeep=math.inf, synced=False)

    def open_again(self) -> None:
        self.store.close()
        self.store = self._opened()

    def _claim(self) -> None:
        claimed = self.store.send("jobs.claim", {"worker": "w", "limit": 100, "lease_ms": 3_600_000})
        for job in claimed["result"]["jobs"]:
            self._leases[job["id"]] = job["lease"]
            self.model.members[job["id"]] = "running"

    def together(self, commands: list[Command]) -> None:
        """Sends commands that the writer takes as one group."""
        if any(verb in ("complete", "fail") for verb, _, _ in commands):
            self._claim()
        replies = self.store.send_together(*map(self._sent, commands))
        for command, reply in zip(commands, replies, strict=True):
            assert (reply.code is None) is self.model.tell(*command), (command, reply.said)

    def in_vain(self, commands: list[Command]) -> None:
        """Sends commands in an atomic batch whose last command is refused, so that nothing is stored."""
        refused = Sent("jobs.hold", {"id": "nobody"})
        assert self.store.send_batch(*map(self._sent, commands), refused, atomic=True).code is not None

    def many(self, verb: str) -> None:
        """Changes all jobs of the group with one command; waiting jobs are decided after the last one."""
        assert self.store.send(f"jobs.{verb}_many", BY_GROUP).code is None
        before, after = (
            ({"pending"}, "cancelled") if verb == "cancel" else ({"failed", "cancelled"}, "pending")
        )
        self.model.members = {
            key: after if state in before else state for key, state in self.model.members.items()
        }
        self.model.decide()

    def many_and_open_again(self, verb: str) -> None:
        """Restarts after such a command, so that waiting jobs are decided after the start."""
        self.many(verb)
        self.open_again()

    def check(self) -> None:
        """Carries out the service's upkeep, then compares the store with the model."""
        writer = self.store.writer
        for _ in range(9):
            if not (commands := self.store.in_writer(lambda _: writer._upkeep.commands(self._clock.now))):
                break
            self.store.submit(commands)
        rows = self.store.in_writer(lambda connection: list(connection.execute("SELECT id, state FROM jobs")))
        assert {key: state for key, state in rows if key in FOLLOWERS} == {
            key: one["state"] for key, one in self.model.followers.items()
        }
        members = Counter(state for key, state in rows if key in MEMBERS)
        groups = writer._aggregates.jobs.groups
        assert self.store.in_writer(lambda _: groups.counts(GROUP)) == counts_of(members)
        assert groups.is_awaited(GROUP) is self.model.is_awaited

    def check_the_log(self) -> None:
        met = Counter(row.stream for row in self.store.rows() if row.type == "job.group_met.v1")
        assert met == {f"jobs/{key}": 1 for key, one in self.model.followers.items() if one["begun"]}

    def _sent(self, command: Command) -> Sent:
        verb, key, more = command
        body: dict[str, Any] = {"id": key}
        if verb == "enqueue":
            body |= {"type": "t", "group_id": GROUP} if key in MEMBERS else _follower(more)
        elif verb in ("complete", "fail"):
            body |= {"lease": self._leases.get(key, "none")}
            body |= {"error": "x", "retryable": False} if verb == "fail" else {}
        return Sent(f"jobs.{verb}", body)


def _follower(more: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "t",
        "queue": "followers",
        "after_group": {"id": GROUP, "when": more["when"]},
        "on_dependency_failure": more["policy"],
        "hold": more["hold"],
    }


WHENS, POLICIES = ("all_completed", "all_ended", "one_failed"), ("cancel", "wait", "run")
OF_MEMBERS = ("enqueue", "complete", "complete", "fail", "cancel", "retry", "archive")
OF_FOLLOWERS = ("enqueue", "enqueue", "cancel", "retry", "hold", "release")
MORE = st.fixed_dictionaries(
    {"when": st.sampled_from(WHENS), "policy": st.sampled_from(POLICIES), "hold": st.booleans()}
)
COMMANDS = st.lists(
    st.tuples(st.sampled_from(OF_MEMBERS), st.sampled_from(MEMBERS), st.just({}))
    | st.tuples(st.sampled_from(OF_FOLLOWERS), st.sampled_from(FOLLOWERS), MORE),
    min_size=1,
    max_size=3,
)
MANY = st.sampled_from(["cancel", "retry"])
STEPS = st.one_of(
    *[st.tuples(st.just("together"), COMMANDS)] * 4,
    st.tuples(st.just("in_vain"), COMMANDS),
    st.tuples(st.sampled_from(["many", "many_and_open_again"]), MANY),
    st.tuples(st.just("open_again")),
)


def live_through(first: list[dict[str, Any]], steps: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        try:
            members: list[Command] = [("enqueue", key, {}) for key in MEMBERS[:2]]
            world.together([*members, *(("enqueue", *one) for one in zip(FOLLOWERS, first, strict=False))])
            for name, *said in steps:
                getattr(world, name)(*said)
                world.check()
            world.check_the_log()
        finally:
            world.store.close()


@settings(max_examples=20, derandomize=True)
@given(st.lists(MORE, min_size=2, max_size=2), st.lists(STEPS, min_size=6, max_size=10))
def test_who_waits_for_a_group_begins_when_the_rule_says_and_once(
    first: list[dict[str, Any]], steps: list[tuple[Any, ...]]
):
    live_through(first, steps)


@pytest.mark.prove
@settings(max_examples=500)
@given(st.lists(MORE, min_size=2, max_size=2), st.lists(STEPS, min_size=8, max_size=40))
def test_who_waits_for_a_group_begins_when_the_rule_says_and_once_in_many_stories(
    first: list[dict[str, Any]], steps: list[tuple[Any, ...]]
):
    live_through(first, steps)
