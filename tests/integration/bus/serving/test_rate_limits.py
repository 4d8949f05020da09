"""A running service as the keeper of API budgets."""

import asyncio
import json
from typing import Any

import pytest

from tests.support.clock import NOW
from tests.support.services.talking import Talk

GITHUB = {"platform": "github", "resource": "core"}
RESET = NOW + 1_800_000
HEADERS = {
    "x-ratelimit-limit": "5000",
    "x-ratelimit-remaining": "1000",
    "x-ratelimit-reset": str(RESET // 1000),
    "x-ratelimit-resource": "core",
}


def send(talk: Talk, verb: str, **body: Any) -> dict[str, Any]:
    answer = talk.command(f"rate_limits.{verb}", body)
    assert answer.code is None, answer.body
    said: dict[str, Any] = answer.said
    return said


def ask(talk: Talk, verb: str, **body: Any) -> dict[str, Any]:
    answer = talk.query(f"rate_limits.{verb}", body)
    assert answer.code is None, answer.body
    said: dict[str, Any] = answer.said
    return said


def test_a_response_is_read_and_answered_and_the_queries_know_it(own: Talk):
    answer = send(own, "observe_response", platform="github", status=200, headers=HEADERS)

    assert answer["stream"] == "rate_limits/github:core"
    assert answer["events"] == ["rate_limit.observed.v1", "rate_limit.level_changed.v1"]
    expected = {"allowed": True, "retry_at": None, "remaining": 1000, "level": "warning", "stale": False}
    assert answer["result"] == {"resource": "core", **expected}
    assert ask(own, "may_call", **GITHUB) == expected
    assert ask(own, "may_call", **GITHUB, cost=1001) == expected | {"allowed": False, "retry_at": RESET}


def test_the_answers_of_the_queries_change_with_the_time(own: Talk):
    send(own, "observe_response", platform="github", status=429, headers=HEADERS | {"Retry-After": "400"})

    assert ask(own, "may_call", **GITHUB)["retry_at"] == NOW + 400_000
    own.later(400_000)
    after_the_wait = ask(own, "may_call", **GITHUB)
    assert (after_the_wait["allowed"], after_the_wait["stale"]) == (True, True)
    own.later(1_400_000)
    full = ask(own, "may_call", **GITHUB)
    assert (full["remaining"], full["level"]) == (5000, "normal")


def test_a_forecast_tells_when_the_budget_runs_out(own: Talk):
    for remaining in (1000, 900):
        headers = HEADERS | {"x-ratelimit-remaining": str(remaining)}
        send(own, "observe_response", platform="github", status=200, headers=headers)
        own.later(60_000)

    assert ask(own, "forecast", **GITHUB) == {
        "burn_rate": 100.0,
        "runs_out_at": NOW + 600_000,
        "runs_out_before_reset": True,
        "reset_time": RESET,
        "remaining": 900,
        "limit": 5000,
        "policy": "",
        "level": "warning",
        "stale": False,
    }


def test_a_forecast_knows_that_others_of_the_platform_hold_its_jobs_up(own: Talk):
    assert own.command("jobs.enqueue", {"type": "sync", "budget": GITHUB}).code is None
    send(own, "observe_response", platform="github", status=200, headers=HEADERS)
    assert ask(own, "forecast", **GITHUB)["jobs_from"] == NOW

    search = HEADERS | {"retry-after": "60", "x-ratelimit-resource": "search"}
    send(own, "observe_response", platform="github", status=403, headers=search)
    send(own, "throttle", platform="github", resource="graphql", until=NOW + 90_000)
    assert ask(own, "forecast", **GITHUB)["jobs_from"] == NOW + 60_000


def test_what_nobody_has_spoken_of_may_be_called(own: Talk):
    assert ask(own, "may_call", platform="nobody") == {
        "allowed": True, "retry_at": None, "remaining": None, "level": "unknown", "stale": True,
    }  # fmt: skip
    assert ask(own, "forecast", platform="nobody")["burn_rate"] is None


@pytest.mark.parametrize("verb", ["may_call", "forecast"])
def test_a_question_that_makes_no_sense_is_invalid(own: Talk, verb: str):
    for body in ({}, {"platform": "a:b"}, {"platform": "a", "identifier": "b"}, {"platform": "a", "x": 1}):
        error = own.query(f"rate_limits.{verb}", body).error
        assert (error["code"], error["details"]["path"][0]) == ("invalid", "$")
    assert own.query("rate_limits.may_call", {"platform": "a", "cost": 0}).code == "invalid"


def test_workers_who_reserve_at_once_get_the_budget_and_no_more(own: Talk):
    send(own, "observe", **GITHUB, limit=100, remaining=50, reset_time=RESET)

    async def all_at_once() -> list[Any]:
        body = GITHUB | {"cost": 7, "ttl_ms": 10_000}
        return await asyncio.gather(
            *(own.client.command("rate_limits.reserve", body, id=f"worker-{number}") for number in range(20))
        )

    results = [answer.said["result"] for answer in own.run(all_at_once())]
    granted = [result for result in results if result["granted"]]
    assert len(granted) == 7
    assert {result["retry_at"] for result in results if not result["granted"]} == {NOW + 10_000}
    assert len({result["reservation"] for result in granted}) == 7


def test_a_grant_holds_across_a_restart_until_it_runs_out(own: Talk):
    send(own, "observe", **GITHUB, limit=100, remaining=50, reset_time=RESET)
    first = send(own, "reserve", **GITHUB, cost=50, reservation="mine", ttl_ms=10_000)["result"]
    own.restart()

    again = send(own, "reserve", **GITHUB, cost=50, reservation="mine", ttl_ms=10_000)["result"]
    assert again == first
    assert ask(own, "may_call", **GITHUB)["retry_at"] == NOW + 10_000
    own.later(10_000)
    assert ask(own, "may_call", **GITHUB)["remaining"] == 50


def test_what_is_not_granted_is_not_remembered_for_its_command_id(own: Talk):
    send(own, "observe", **GITHUB, limit=100, remaining=5, reset_time=RESET)
    body = GITHUB | {"cost": 5, "reservation": "second"}
    send(own, "reserve", **GITHUB, cost=5, reservation="first")

    assert not own.command("rate_limits.reserve", body, id="x").said["result"]["granted"]
    send(own, "release", **GITHUB, reservation="first")
    assert own.command("rate_limits.reserve", body, id="x").said["result"]["granted"]


def test_the_row_shows_the_policy_that_binds_and_all_of_them(own: Talk):
    headers = {
        "RateLimit": '"second";r=90;t=1, "hour";r=60;t=600',
        "RateLimit-Policy": '"second";q=100;w=1, "hour";q=1000;w=3600',
    }
    send(own, "observe_response", platform="example", status=200, headers=headers)
    send(own, "set_thresholds", platform="example", warning_percent=50, critical_percent=90)
    send(own, "reserve", platform="example", cost=3)
    row = ask(own, "get", platform="example")

    assert (row["limit_remaining"], row["limit_total"], row["limit_used"]) == (60, 1000, 940)
    assert (row["policy"], row["level"], row["reserved"]) == ("hour", "critical", 3)
    assert (row["warning_percent"], row["critical_percent"]) == (50, 90)
    assert [(one["policy"], one["remaining"], one["window_ms"]) for one in row["policies"]] == [
        ("hour", 60, 3_600_000),
        ("second", 90, 1_000),
    ]
    assert ask(own, "count", level="critical") == {"count": 1}
    assert ask(own, "list", level="normal")["items"] == []


def test_tables_with_everything_in_them_equal_the_log(own: Talk):
    test_the_row_shows_the_policy_that_binds_and_all_of_them(own)
    send(own, "observe_response", platform="github", status=403, headers=HEADERS)

    report = json.loads(own.administer("projections.verify").body)
    assert report["equal"]
    assert report["tables"]["rate_limits"]["rows"] == 2


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"status": 200}, "$"),
        ({"status": 99, "headers": {}}, "$.status"),
        ({"status": 600, "headers": {}}, "$.status"),
        ({"status": "200", "headers": {}}, "$.status"),
        ({"status": 200, "headers": []}, "$.headers"),
        ({"status": 200, "headers": {"a": 1}}, "$.headers"),
        ({"status": 200, "headers": {"": "a"}}, "$.headers"),
        ({"status": 200, "headers": {"a" * 257: "a"}}, "$.headers"),
        ({"status": 200, "headers": {"a": "b" * 8_193}}, "$.headers"),
        ({"status": 200, "headers": {"a": ["b"] * 21}}, "$.headers"),
        ({"status": 200, "headers": {f"h{number}": "" for number in range(201)}}, "$.headers"),
        ({"status": 200, "headers": {}, "resource": "a:b"}, "$.resource"),
        ({"status": 200, "headers": {}, "identifier": "a"}, "$.resource"),
    ],
)
def test_a_malformed_response_is_invalid_and_nothing_is_stored(own: Talk, body: dict[str, Any], path: str):
    error = own.command("rate_limits.observe_response", {"platform": "github"} | body).error

    assert error["code"] == "invalid"
    assert error["details"]["path"].startswith(path)
    assert own.position == 0


def test_as_many_headers_as_are_allowed_are_taken(own: Talk):
    headers = {f"h{number}": "" for number in range(196)} | HEADERS

    assert send(own, "observe_response", platform="github", status=200, headers=headers)["events"]


def test_nothing_of_a_response_is_stored_but_what_it_says_of_limits(own: Talk):
    secret = {"Set-Cookie": "session=hidden", "Authorization": "Bearer hidden"}
    send(own, "observe_response", platform="github", status=200, headers=HEADERS | secret)

    assert "hidden" not in "".join(str(row.data) for row in own.rows)
