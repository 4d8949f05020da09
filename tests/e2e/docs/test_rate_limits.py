"""The guide to API budgets: its commands run, and do what it says."""

import json
import shlex
from typing import Any

from domain.rate_limits.messages import MAXIMUM_HEADERS
from domain.rate_limits.reserving import MAXIMUM_RESERVATIONS
from tests.support.documents.guides import blocks, guide
from tests.support.services.command_line import Served

GUIDE = guide("rate-limits.md")
COMMAND = "$ .venv/bin/hyperpage "
COMMANDS = [line.removeprefix(COMMAND) for block in blocks("console", GUIDE) for line in block.splitlines()]


def test_the_worked_example_does_what_the_guide_says(served: Served) -> None:
    answers: list[Any] = [served.ask(*shlex.split(command)) for command in COMMANDS]
    first, may_call, granted, refused, confirmed, released, throttled, after, forecast, row = answers

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
    assert (row["limit_remaining"], row["limit_total"], row["throttle_reason"]) == (4, 100, "HTTP 429")


def test_every_command_of_the_guide_is_run() -> None:
    assert len(COMMANDS) == 10
    assert all(command.startswith(("send rate_limits.", "query rate_limits.")) for command in COMMANDS)
    assert GUIDE.count(COMMAND) == len(COMMANDS)
    assert all(json.loads(shlex.split(command)[2]) for command in COMMANDS)


def test_the_numbers_of_the_guide_are_those_of_the_program() -> None:
    assert f"At most {MAXIMUM_HEADERS} headers" in GUIDE
    assert f"At most {MAXIMUM_RESERVATIONS} are out" in GUIDE
