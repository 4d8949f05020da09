"""A large store in which everything was decided from commands, as in one that has run for a month.

Of each five events, three are of jobs: enqueued, claimed by a worker, completed or failed, some of them tried
again. The others are observations of rate limits, values of the state, and changes of configurations.
"""

import math
import random
from pathlib import Path
from typing import Any

from tests.support.clock import Clock
from tests.support.stores.writing import Reply, Sent, Store

MONTH_MS = 30 * 24 * 3_600_000
JOBS_IN_ROUND = 200
# Of all events; jobs take what they take, the state what is left.
OBSERVATIONS_SHARE = 0.2
TYPES = ["sync", "scan", "report", "mail", "index", "import", "export", "cleanup"]
TOOLS = ["github", "gitlab", "jira", "slack", "crawler"]
RESOURCES = ["core", "search", "graphql", "uploads"]


def make_large_store(path: Path, *, events: int, jobs: int, seed: int = 0) -> None:
    """Makes a store with so many events, and so many jobs in its tables."""
    with Store(path, Clock(), next_upkeep=math.inf, synced=False) as store:
        month = _Month(store, events=events, jobs=jobs, seed=seed)
        for number in range(math.ceil(jobs / JOBS_IN_ROUND)):
            month.round(number)
        month.fill(events)


def add_events(path: Path, count: int, *, seed: int = 1) -> None:
    """Goes on with such a store for so many events."""
    clock = Clock()
    with Store(path, clock, next_upkeep=math.inf) as store:
        clock.now += MONTH_MS + 1_000
        month = _Month(store, events=count, jobs=count // 5, seed=seed)
        end = store.writer.head.position + count
        month.round(1_000_000)
        month.fill(end)


class _Month:
    """What happens to the store; each round is a while of the month."""

    def __init__(self, store: Store, *, events: int, jobs: int, seed: int) -> None:
        self._store = store
        self._jobs = jobs
        self._chance = random.Random(seed)
        rounds = math.ceil(jobs / JOBS_IN_ROUND)
        self._pause_ms = MONTH_MS // rounds // 10
        self._observations = round(events * OBSERVATIONS_SHARE / rounds)
        self._made = 0
        self._remaining: dict[tuple[str, str], int] = {}

    def round(self, number: int) -> None:
        """A day's hour: jobs come and are worked off, budgets go and are renewed."""
        count = min(JOBS_IN_ROUND, self._jobs - self._made)
        self._send([self._job(number, place) for place in range(count)])
        self._made += count
        self._later()
        self._send([self._configuration() for _ in range(4)])
        for _ in range(5):
            self._work_off()
            self._observe(self._observations // 5)
        self._send([self._value() for _ in range(50)])

    def fill(self, events: int) -> None:
        """Values of the state, until there are so many events."""
        while (missing := events - self._store.writer.head.position) > 0:
            self._later()
            self._send([self._value() for _ in range(min(missing, 1_000))])

    def _send(self, commands: list[Sent]) -> list[Reply]:
        replies = self._store.send_together(*commands) if commands else []
        # They hold every row.
        self._store.commits.clear()
        return replies

    def _later(self) -> None:
        self._store.clock.now += self._chance.randint(self._pause_ms // 2, self._pause_ms)

    def _job(self, round_number: int, place: int) -> Sent:
        chance = self._chance
        # Time-ordered, as the service's own ids are.
        key = f"{round_number:08x}-{place:04x}-7{chance.getrandbits(12):03x}-{chance.getrandbits(48):012x}"
        body: dict[str, Any] = {
            "id": key,
            "type": chance.choice(TYPES),
            "name": f"Job {place} of round {round_number}",
            "priority": chance.choice([1, 2, 2, 2, 3, 4]),
            "tool": chance.choice(TOOLS),
            "endpoint": f"/repos/{chance.randrange(500)}",
            "max_attempts": 3,
            "hold": chance.random() < 0.02,
            "payload": {"repository": f"acme/{chance.randrange(10_000)}", "depth": chance.randrange(9)},
        }
        return Sent("jobs.enqueue", body)

    def _work_off(self) -> None:
        claims = [
            Sent("jobs.claim", {"worker": f"w{n}", "limit": 100, "lease_ms": 3_600_000}) for n in (1, 2)
        ]
        claimed = [job for reply in self._send(claims) for job in reply["result"]["jobs"]]
        self._later()
        self._send([self._ended(job) for job in claimed])

    def _ended(self, job: dict[str, Any]) -> Sent:
        mine = {"id": job["id"], "lease": job["lease"]}
        if self._chance.random() < 0.07 + 0.02 * TYPES.index(job["type"]):
            error = self._chance.choice(["timed out", "502 Bad Gateway", "no such repository"])
            return Sent("jobs.fail", mine | {"error": error})
        return Sent("jobs.complete", mine | {"result": {"items": self._chance.randrange(1_000)}})

    def _observe(self, count: int) -> None:
        for begin in range(0, count, len(TOOLS) * len(RESOURCES)):
            # Far enough from the one before to be an event.
            self._store.clock.now += 61_000
            some = [(tool, resource) for tool in TOOLS for resource in RESOURCES][: count - begin]
            self._send([self._observation(*one) for one in some])

    def _observation(self, platform: str, resource: str) -> Sent:
        left = self._remaining.get((platform, resource), 0) - self._chance.randrange(100)
        self._remaining[platform, resource] = left if left > 0 else 5_000
        now = self._store.clock.now
        body = {
            "platform": platform,
            "resource": resource,
            "remaining": self._remaining[platform, resource],
            "limit": 5_000,
            "reset_time": now - now % 3_600_000 + 3_600_000,
        }
        return Sent("rate_limits.observe", body)

    def _configuration(self) -> Sent:
        config = {"repositories": [f"acme/{self._chance.randrange(100)}" for _ in range(3)]}
        name = f"{self._chance.choice(TOOLS)}-{self._chance.randrange(10)}"
        return Sent("tool_configs.set", {"tool_name": name, "config": config, "reason": "more of it"})

    def _value(self) -> Sent:
        key = f"cursor-{self._chance.randrange(2_000)}"
        return Sent("app_state.set", {"key": key, "value": {"at": self._chance.getrandbits(40)}})
