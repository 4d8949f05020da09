"""The workload of `hyperpage serve --demo`: a small company that syncs its tools.

    planner ──▶ jobs ──▶ three workers ──▶ done, tried again, given up, or never heard of again
                              │
                              ├──▶ rate limits, which decline with every call until their window ends
    operator ──▶ tool configurations, a job cancelled now and then
                              └──▶ application state: how far each sync has come

An installed aggregate may bring a demo of its own (`ops.service.demo.installed`).

It is a client like any other. It sends a few commands a second, for ever; the same seed gives the same
decisions.
"""

import asyncio
import time
from random import Random
from typing import Any

import msgspec

from bus.client import Answer, Client, Unreachable, connect
from domain.catalogue import INSTALLED
from domain.errors import Refusal
from hyperpage_client.transport.access import Access
from hyperpage_client.transport.connecting import NOTHING_MORE
from ops.service.demo.installed import MANY_DEMOS, play

WORKERS = 3
LEASE_MS = 10_000
# No more jobs are planned while so many wait: an unattended demo should not pile up jobs.
MAXIMUM_WAITING = 40
WINDOW_MS = 15 * 60_000


class Tool(msgspec.Struct, kw_only=True):
    """A tool that is synced; `remaining` is what its rate limit has left until `reset_time`."""

    name: str
    job_type: str
    resource: str
    endpoint: str
    targets: tuple[str, ...]
    limit: int
    remaining: int = 0
    reset_time: int = 0

    def spend(self, calls: int, now: int) -> None:
        """Counts calls against the limit, in a new window if the last one is over."""
        if now >= self.reset_time:
            self.remaining, self.reset_time = self.limit, now + WINDOW_MS
        self.remaining = max(0, self.remaining - calls)


def tools() -> tuple[Tool, ...]:
    """The tools that the company uses."""
    return (
        Tool(
            name="github",
            job_type="sync_repository",
            resource="core",
            endpoint="/repos/{}/issues",
            targets=("acme/site", "acme/api", "acme/mobile", "acme/infrastructure"),
            limit=5_000,
        ),
        Tool(
            name="gitlab",
            job_type="sync_merge_requests",
            resource="api",
            endpoint="/projects/{}/merge_requests",
            targets=("platform/billing", "platform/identity", "data/pipelines"),
            limit=2_000,
        ),
        Tool(
            name="jira",
            job_type="sync_issues",
            resource="search",
            endpoint="/rest/api/3/search?project={}",
            targets=("SHOP", "OPS", "SUPPORT"),
            limit=600,
        ),
    )


async def run_demo(
    url: str, prefix: str, access: Access = NOTHING_MORE, *, seed: int = 1, pace: float = 1.0
) -> None:
    """Sends commands until it is cancelled. With `pace` 2, everything runs twice as fast."""
    shared = {tool.job_type: tool for tool in tools()}
    async with connect(url, prefix=prefix, name="hyperpage demo", **access.files) as client:

        def employ(name: str) -> _Colleague:
            return _Colleague(client, name, Random(f"{seed} {name}"), pace, shared)

        await employ("operator").set_up()
        async with asyncio.TaskGroup() as everybody:
            everybody.create_task(employ("planner").plan())
            everybody.create_task(employ("operator").operate())
            for number in range(1, WORKERS + 1):
                everybody.create_task(employ(f"worker-{number}").work())
            others = [one for one in INSTALLED if one.demo is not None]
            slowness = max(1.0, len(others) / MANY_DEMOS) / pace
            for one in others:
                everybody.create_task(play(client, one, f"{seed}", slowness))


class _Colleague:
    """A simulated person or worker. Its random decisions are its own, so the others' speed changes none."""

    def __init__(
        self, client: Client, name: str, random: Random, pace: float, shared: dict[str, Tool]
    ) -> None:
        self._client = client
        self._name = name
        self._random = random
        self._pace = pace
        self._tools = shared

    async def set_up(self) -> None:
        """Gives every tool a configuration; an existing one is left alone."""
        for tool in self._tools.values():
            await self._send(
                "tool_configs.set",
                {
                    "tool_name": tool.name,
                    "config": {"base_url": f"https://{tool.name}.example.com", "page_size": 50},
                    "refresh_interval": 300_000,
                    "reason": "set up by the demo",
                },
                expected_version=0,
            )

    async def plan(self) -> None:
        """Enqueues a sync every second or two."""
        while True:
            await self._pause(0.8, 2.5)
            tool = self._random.choice(list(self._tools.values()))
            target = self._random.choice(tool.targets)
            if await self._waiting() >= MAXIMUM_WAITING:
                continue
            await self._send(
                "jobs.enqueue",
                {
                    "type": tool.job_type,
                    "name": target,
                    "priority": self._random.choices((1, 2, 3, 4), weights=(2, 6, 2, 1))[0],
                    "tool": tool.name,
                    "endpoint": tool.endpoint.format(target),
                    "payload": {"target": target, "full": self._random.random() < 0.1},
                    "max_attempts": 3,
                },
            )

    async def operate(self) -> None:
        """Changes a configuration every minute or so, and sometimes cancels a waiting job."""
        while True:
            await self._pause(20, 60)
            tool = self._random.choice(list(self._tools.values()))
            change = {"page_size": self._random.choice((20, 50, 100))}
            await self._send("tool_configs.patch", {"tool_name": tool.name, "patch": change})
            if self._random.random() < 0.3:
                await self._cancel_one()

    async def work(self) -> None:
        """Claims one job after the other."""
        while True:
            answer = await self._send("jobs.claim", {"worker": self._name, "lease_ms": LEASE_MS})
            for job in answer.result["jobs"] if answer is not None else ():
                await self._work_on(job)
            await self._pause(0.3, 1.2)

    async def _work_on(self, job: dict[str, Any]) -> None:
        tool = self._tools.get(job["type"])
        if tool is None:
            # A user's own job, enqueued to try things out: it is completed, too.
            await self._send("jobs.complete", _held(job))
            return
        await self._pause(0.5, 2)
        await self._send("jobs.progress", {**_held(job), "percent": 50, "note": "half of the pages"})
        await self._call(tool)
        await self._pause(0.5, 2)
        chance = self._random.random()
        if chance < 0.02:
            # The worker drops the job without a message; the service notices when the lease expires.
            return
        if chance < 0.14:
            await self._fail(job)
            return
        changed = self._random.randrange(40)
        await self._send("jobs.complete", {**_held(job), "result": {"changed": changed}})
        await self._send(
            "app_state.set",
            {"key": f"sync/{tool.name}/{job['name']}", "value": {"synced_at": _now(), "changed": changed}},
        )

    async def _call(self, tool: Tool) -> None:
        tool.spend(self._random.randint(5, 60), _now())
        await self._send(
            "rate_limits.observe",
            {
                "platform": tool.name,
                "resource": tool.resource,
                "limit": tool.limit,
                "remaining": tool.remaining,
                "reset_time": tool.reset_time,
            },
        )

    async def _fail(self, job: dict[str, Any]) -> None:
        error = self._random.choice(("502 Bad Gateway", "no answer within 30 s", "404 Not Found"))
        # A 404 is not retryable: the target stays gone.
        await self._send(
            "jobs.fail", {**_held(job), "error": error, "retryable": not error.startswith("404")}
        )

    async def _cancel_one(self) -> None:
        waiting = await self._ask("jobs.list", {"state": "pending", "limit": 1})
        for job in waiting.get("items", ()):
            await self._send("jobs.cancel", {"id": job["id"], "reason": "no longer needed"})

    async def _waiting(self) -> int:
        count: int = (await self._ask("jobs.count", {"status": "pending"})).get("count", 0)
        return count

    async def _pause(self, shortest: float, longest: float) -> None:
        await asyncio.sleep(self._random.uniform(shortest, longest) / self._pace)

    async def _send(self, name: str, body: Any, **about: Any) -> Answer | None:
        """The answer; `None` if the command is refused or the service is away, which a demo ignores."""
        try:
            return await self._client.send(name, body, **{"actor": self._name, **about})
        except (Refusal, Unreachable):
            return None

    async def _ask(self, name: str, body: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = await self._client.query(name, body)
        except (Refusal, Unreachable):
            return {}
        return answer


def _held(job: dict[str, Any]) -> dict[str, Any]:
    return {"id": job["id"], "lease": job["lease"]}


def _now() -> int:
    return time.time_ns() // 1_000_000
