"""`hyperpage serve --demo`: a newcomer's first minute."""

import asyncio
import json
import signal
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from ops.contract.schema import all_schemas
from ops.service.demo.workload import run_demo, tools
from tests.support.services.command_line import SECONDS, Served

# Everything in it happens in the first seconds then, and not in the first minutes.
PACE = 30


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("demo") / "data", "--demo") as service:
        yield service


async def run_until(served: Served, condition: Any) -> None:
    """Runs a quick demo until the condition, which looks at the service's rows, is true."""
    runtime = served.runtime
    demo = asyncio.create_task(run_demo(runtime["nats_url"], runtime["prefix"], seed=7, pace=PACE))
    try:
        async with asyncio.timeout(SECONDS):
            while not await asyncio.to_thread(condition):
                assert not demo.done(), demo.exception()
    finally:
        demo.cancel()
        await asyncio.gather(demo, return_exceptions=True)


def test_the_demo_fills_every_table_and_says_nothing(shown, capfd):
    def has_something_of_everything() -> bool:
        states = {job["state"] for job in shown.ask("query", "jobs.list", '{"limit": 1000}')["items"]}
        return {"completed", "retrying"} <= states and "failed" in states

    asyncio.run(run_until(shown, has_something_of_everything))
    assert capfd.readouterr() == ("", "")
    configured = shown.ask("query", "tool_configs.list")["items"]
    assert {row["tool_name"] for row in configured} == {tool.name for tool in tools()}
    observed = shown.ask("query", "rate_limits.list")["items"]
    assert observed
    assert all(0 <= row["limit_remaining"] < row["limit_total"] for row in observed)
    assert shown.ask("query", "app_state.count")["count"] > 0
    jobs = shown.ask("query", "jobs.list", '{"state": "failed"}')["items"]
    assert all(job["error"] for job in jobs)


def test_its_events_are_what_the_schemas_say(shown):
    schemas = all_schemas()["events"]
    events = shown.ask("query", "events.read", '{"limit": 1000}')["items"]
    assert events
    for event in events:
        jsonschema_rs.validate(schemas[event["type"].removeprefix("hyperpage.")], event["data"])


def test_the_tables_still_equal_the_log(shown):
    assert shown.ask("projections", "verify")["equal"] is True


def test_the_demo_of_serve_is_at_work_and_ends_with_its_service(shown):
    lines = shown("tail", "--limit", "1", "--json").out.splitlines()
    assert json.loads(lines[0])["actor"] in {"planner", "operator", "worker-1", "worker-2", "worker-3"}
    assert shown.stop(signal.SIGTERM) == 0
    assert "the demo ended" not in shown.log.read_text()
