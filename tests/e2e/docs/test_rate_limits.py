"""The guide to API budgets: its commands run, and do what it says."""

import json
import shlex
from typing import Any

from domain.rate_limits.availability import STALE_AFTER_MS
from domain.rate_limits.job_calls import MAXIMUM_JOBS
from domain.rate_limits.ledger import LATEST_MS, RESET_MARGIN_MS
from domain.rate_limits.messages import MAXIMUM_HEADERS
from domain.rate_limits.reserving import MAXIMUM_RESERVATIONS
from tests.support.documents.guides import blocks, guide
from tests.support.services.command_line import Served

GUIDE = guide("rate-limits.md")
COMMAND = "$ .venv/bin/hyperpage "
COMMANDS = [line.removeprefix(COMMAND) for block in blocks("console", GUIDE) for line in block.splitlines()]


def test_the_worked_example_does_what_the_guide_says(served: Served) -> None:
    answers: list[Any] = [served.ask(*shlex.split(command)) for command in COMMANDS]
    first, may_call, granted, refused, confirmed, released, throttled, after, forecast, row = answers[:10]
    *_, claimed, waiting = answers

    assert (first["result"]["allowed"], first["result"]["remaining"], first["result"]["level"]) == (
        True, 12, "warning",
    )  # fmt: skip
    assert (may_call["allowed"], may_call["stale"]) == (True, False)
    assert (granted["result"]["granted"], granted["result"]["remaining"]) == (True, 4)
    assert (refused["result"]["granted"], refused["events"]) == (False, [])
    assert refused["result"]["retry_at"] == granted["result"]["expires_at"]
    assert (confirmed["result"]["remaining"], released["events"]) == (4, [])
    assert throttled["events"] == ["rate_limit.throttled.v1"]
    assert (after["allowed"], after["level"]) == (False, "critical")
    assert forecast["burn_rate"] > 0
    assert [job["id"] for job in claimed["result"]["jobs"]] == ["sync-1"]
    assert 590_000 < claimed["result"]["retry_after_ms"] <= 603_000
    assert (waiting["jobs_waiting"], waiting["remaining"]) == (1, 1)
    assert (row["limit_remaining"], row["limit_total"], row["throttle_reason"]) == (4, 100, "HTTP 429")


def test_every_command_of_the_guide_is_run() -> None:
    assert len(COMMANDS) == 15
    named = ("send rate_limits.", "query rate_limits.", "send jobs.")
    assert all(command.startswith(named) for command in COMMANDS)
    assert GUIDE.count(COMMAND) == len(COMMANDS)
    assert all(json.loads(shlex.split(command)[2]) for command in COMMANDS)


def test_the_numbers_of_the_guide_are_those_of_the_program() -> None:
    assert f"At most {MAXIMUM_HEADERS} headers" in GUIDE
    assert f"At most {MAXIMUM_RESERVATIONS} are out" in GUIDE
    assert f"At most {MAXIMUM_JOBS:,} jobs" in GUIDE
    assert (RESET_MARGIN_MS, LATEST_MS, STALE_AFTER_MS) == (3_000, 30_000, 300_000)
