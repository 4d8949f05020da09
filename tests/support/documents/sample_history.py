"""Two days of a small company that syncs its tools, with an outage on the second: the sample backups.

    python -m tests.support.documents.sample_history docs/notebook/sample

The commands are sent to a real writer, with a clock that is moved, a seed, and ids that are counted: each
time it is made, the log is the same, byte for byte.
"""

import math
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from migrations.connection import write_transaction
from ops.backup.create import create_backup
from ops.store.opening import open_store
from ops.targets.sealing import Sealing
from tests.support.clock import Clock
from tests.support.stores.writing import Sent, Store

BEGAN = 1_791_158_400_000  # Monday, 5 October 2026, 00:00 UTC
STORE_ID = "01998a2c-5c00-7000-8000-000000000005"
SEED = 5
HOURS = 48
# The hours from one backup to the next; the backups show how the file grows.
BACKUP_HOURS = 16
STEP_MS = 10_000
LEASE_MS = 300_000
DEADLINE_MS = 480_000
# The outcomes of an attempt, and how often each comes; none: it completes.
VANISHES, HANGS, DOWN = "vanishes", "hangs", "503 Service Unavailable"
OUTCOMES = {
    "": 88.0,
    "502 Bad Gateway": 4.0,
    "no answer within 30 s": 3.0,
    "404 Not Found": 1.5,
    VANISHES: 1.5,
    HANGS: 1.0,
}
WORKERS = ("worker-1", "worker-2")
HOUR = 3_600_000
# When GitLab does not answer, in hours since the beginning.
OUTAGE = (37.0, 39.5)


class Tool(msgspec.Struct, frozen=True):
    """A tool that is synced: how often in an hour of work, for how long, within what limit an hour."""

    name: str
    job_type: str
    endpoint: str
    targets: tuple[str, ...]
    jobs_an_hour: float
    run_ms: int
    resource: str
    limit: int
    calls: int


TOOLS = (
    Tool(
        name="github",
        job_type="sync_repository",
        endpoint="/repos/{}/issues",
        targets=("acme/site", "acme/api", "acme/mobile", "acme/infrastructure"),
        jobs_an_hour=7,
        run_ms=45_000,
        resource="core",
        limit=5_000,
        calls=420,
    ),
    Tool(
        name="gitlab",
        job_type="sync_merge_requests",
        endpoint="/projects/{}/merge_requests",
        targets=("platform/billing", "platform/identity", "data/pipelines"),
        jobs_an_hour=5,
        run_ms=80_000,
        resource="api",
        limit=2_000,
        calls=180,
    ),
    Tool(
        name="jira",
        job_type="sync_issues",
        endpoint="/rest/api/3/search?project={}",
        targets=("SHOP", "OPS", "SUPPORT"),
        jobs_an_hour=3,
        run_ms=120_000,
        resource="search",
        limit=600,
        calls=110,
    ),
)
CHANGES: tuple[tuple[float, str, dict[str, Any], str], ...] = (
    (9.2, "patch", {"tool_name": "github", "patch": {"page_size": 100}, "reason": "fewer calls"}, "ops"),
    (14.7, "patch", {"tool_name": "jira", "patch": {"page_size": 20}, "reason": "slow answers"}, "ops"),
    (20.0, "set_refresh_interval", {"tool_name": "gitlab", "refresh_interval": 600_000}, "scheduler"),
    (
        33.1,
        "patch",
        {"tool_name": "gitlab", "patch": {"timeout_ms": 10_000}, "reason": "try a shorter wait"},
        "ops",
    ),
    (38.2, "disable", {"tool_name": "gitlab", "reason": "it does not answer"}, "on-call"),
    (39.6, "enable", {"tool_name": "gitlab", "reason": "it answers again"}, "on-call"),
    (
        40.1,
        "rollback",
        {"tool_name": "gitlab", "to_version": 2, "reason": "the shorter wait was no help"},
        "ops",
    ),
)


class Attempt(msgspec.Struct, frozen=True):
    """The job that a worker works on, until `ends_at`."""

    job: dict[str, Any]
    tool: Tool
    outcome: str
    ends_at: int

    @property
    def held(self) -> dict[str, Any]:
        return {"id": self.job["id"], "lease": self.job["lease"]}


class Company:
    """The workers on a store, who take one step after the other until it is closed."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "hyperpage.db"
        self.clock = Clock(BEGAN)
        _give_identity(self.path)
        random.seed(SEED)  # the writer's own: how long until a job is tried again
        # The store does no upkeep by itself, at a time of this machine: `_upkeep` sends it.
        self.store = Store(self.path, self.clock, next_upkeep=math.inf)
        self._chance = random.Random(SEED)
        self._busy: dict[str, Attempt] = {}
        self._lost: list[tuple[int, str]] = []
        self._left: dict[tuple[str, int], int] = {}
        self._changes = list(CHANGES)
        self._sent = 0
        self._jobs = 0

    def work(self, hours: float) -> None:
        """Lets the workers work for so many hours."""
        if self.clock.now == BEGAN:
            self._set_up()
        for _ in range(round(hours * HOUR / STEP_MS)):
            began = (self.clock.now + STEP_MS - 1) // STEP_MS * STEP_MS
            self.clock.now = began + self._chance.randrange(STEP_MS // 2)
            self._configure()
            self._plan()
            self.clock.now = began + STEP_MS // 2
            self._rescue()
            for worker in WORKERS:
                self._go_on(worker)

    def backup(self, folder: Path, description: str = "") -> None:
        create_backup(
            self.path,
            folder,
            description=description,
            version="0.1.0",
            now_ms=self.clock.now,
            sealing=Sealing(compression="zstd"),
        )

    def close(self) -> None:
        self.store.close()

    def _send(self, name: str, body: dict[str, Any], actor: str) -> Any:
        self._sent += 1
        self.clock.now += self._chance.randint(1, 30)
        metadata = msgspec.json.encode({"actor": actor}).decode()
        [reply] = self.store.send_together(Sent(name, body, id=f"sample-{self._sent}", metadata=metadata))
        assert reply.code is None, (name, body, reply)
        return reply["result"]

    def _set_up(self) -> None:
        for tool in TOOLS:
            config = {"base_url": f"https://{tool.name}.example.com", "page_size": 50, "timeout_ms": 30_000}
            body = {"tool_name": tool.name, "config": config, "refresh_interval": 300_000, "reason": "set up"}
            self._send("tool_configs.set", body, "ops")

    def _hour(self) -> float:
        return (self.clock.now - BEGAN) / HOUR

    def _configure(self) -> None:
        while self._changes and self._changes[0][0] <= self._hour():
            _, verb, body, actor = self._changes.pop(0)
            self._send(f"tool_configs.{verb}", body, actor)

    def _plan(self) -> None:
        # Most is to be done in the middle of the day.
        load = 0.35 + 1.3 * math.exp(-(((self._hour() % 24) - 13) ** 2) / 18)
        for tool in TOOLS:
            if self._chance.random() >= tool.jobs_an_hour * load * STEP_MS / HOUR:
                continue
            target = self._chance.choice(tool.targets)
            self._jobs += 1
            body = {
                "id": f"job-{self._jobs:05d}",
                "type": tool.job_type,
                "name": f"Sync {target}",
                "priority": self._chance.choices((1, 2, 3, 4), weights=(2, 6, 2, 1))[0],
                "tool": tool.name,
                "endpoint": tool.endpoint.format(target),
                "payload": {"target": target, "full": self._chance.random() < 0.1},
                "max_attempts": 3,
                "timeout_ms": DEADLINE_MS,
            }
            self._send("jobs.enqueue", body, "planner")

    def _rescue(self) -> None:
        """Rescues jobs as the service does when a worker is gone and the lease has run out."""
        for lost in [one for one in self._lost if one[0] <= self.clock.now]:
            self._lost.remove(lost)
            self._send("jobs.rescue", {"id": lost[1]}, "service")

    def _go_on(self, worker: str) -> None:
        attempt = self._busy.get(worker)
        if attempt is None:
            self._claim(worker)
        elif attempt.ends_at <= self.clock.now:
            del self._busy[worker]
            self._end(worker, attempt)
        elif attempt.outcome == HANGS:
            # The worker extends its lease until its time is over.
            self._send("jobs.heartbeat", attempt.held, worker)

    def _claim(self, worker: str) -> None:
        for job in self._send("jobs.claim", {"worker": worker, "lease_ms": LEASE_MS}, worker)["jobs"]:
            tool = next(one for one in TOOLS if one.name == job["tool"])
            is_down = tool.name == "gitlab" and OUTAGE[0] <= self._hour() < OUTAGE[1]
            [outcome] = [DOWN] if is_down else self._chance.choices(list(OUTCOMES), list(OUTCOMES.values()))
            run_ms = 30_000 if is_down else round(tool.run_ms * self._chance.lognormvariate(0, 0.5))
            ends_at = self.clock.now + min(run_ms, LEASE_MS - STEP_MS)
            if outcome == HANGS:
                ends_at = job["deadline_at"]
            self._busy[worker] = Attempt(job, tool, outcome, ends_at)

    def _end(self, worker: str, attempt: Attempt) -> None:
        self._observe(worker, attempt.tool)
        match attempt.outcome:
            case "":
                result = {"changed": self._chance.randrange(40)}
                self._send("jobs.complete", {**attempt.held, "result": result}, worker)
                value = {"synced_at": self.clock.now, **result}
                self._send("app_state.set", {"key": f"sync/{attempt.tool.name}", "value": value}, worker)
            case "vanishes":
                self._lost.append((attempt.job["lease_expires_at"], attempt.job["id"]))
            case "hangs":
                self._send("jobs.time_out", {"id": attempt.job["id"]}, "service")
            case error:
                retryable = not error.startswith("404")
                self._send("jobs.fail", {**attempt.held, "error": error, "retryable": retryable}, worker)

    def _observe(self, worker: str, tool: Tool) -> None:
        reset_time = self.clock.now // HOUR * HOUR + HOUR
        left = self._left.get((tool.name, reset_time), tool.limit)
        left = max(0, left - round(tool.calls * self._chance.uniform(0.5, 1.5)))
        self._left[tool.name, reset_time] = left
        body = {
            "platform": tool.name,
            "resource": tool.resource,
            "limit": tool.limit,
            "remaining": left,
            "reset_time": reset_time,
        }
        self._send("rate_limits.observe", body, worker)


def make_sample(folder: Path) -> None:
    """The backups of these two days, in a folder in which there is nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        company = Company(Path(scratch))
        try:
            for _ in range(HOURS // BACKUP_HOURS):
                company.work(BACKUP_HOURS)
                company.backup(folder)
        finally:
            company.close()


def _give_identity(path: Path) -> None:
    connection, _ = open_store(path, cache_kib=1024)
    try:
        with write_transaction(connection):
            connection.execute("UPDATE store SET store_id = ?, created_at = ?", (STORE_ID, BEGAN))
    finally:
        connection.close()


if __name__ == "__main__":
    make_sample(Path(sys.argv[1]))
