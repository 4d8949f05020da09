"""A night of a store with figures that are small enough to count by hand: `night_lake`.

In Berlin, the clocks are put back from 03:00 to 02:00 in it, at 01:00 UTC on 25 October 2026. A budget is
used up over midnight there, a tool fails after a change of its configuration, and jobs are archived.
"""

from pathlib import Path
from typing import Any

from tests.support.stores.analysed import History, ms

START = "2026-10-24T20:00:00Z"
END = "2026-10-25T02:05:00Z"


def night_lake(folder: Path) -> Path:
    """The lake of a backup that is made at the end of the night."""
    one = History(folder, ms(START))
    with one.store:
        evening(one)
        failures(one)
        return one.at(END).lake()


def done(one: History, job: str, worker: str, claimed: str, completed: str, queue: str = "fast") -> None:
    lease = one.at(claimed).claim(worker, queue)
    assert lease["id"] == job
    one.at(completed).send("jobs.complete", **lease)


def observe(one: History, platform: str, at: str, remaining: int, resets: str) -> None:
    body: dict[str, Any] = {
        "platform": platform,
        "limit": 100,
        "remaining": remaining,
        "reset_time": ms(resets),
    }
    one.at(at).send("rate_limits.observe", **body)


def evening(one: History) -> None:
    for tool, config in (("gitlab", {"rate": 1}), ("jira", {})):
        one.send("tool_configs.set", actor="ops", tool_name=tool, config=config, reason="new")
    one.at("2026-10-24T21:00:00Z")
    one.enqueue("a1", "sync", "gitlab", queue="fast")
    for job in ("d1", "d4"):
        one.enqueue(job, "scan", "jira", queue="slow")
    done(one, "a1", "w1", "2026-10-24T21:00:10Z", "2026-10-24T21:00:40Z")
    one.at("2026-10-24T21:10:00Z").send("jobs.cancel", id="d4")
    # The budget is used up before midnight in Berlin, and is not given back before one o'clock.
    observe(one, "github", "2026-10-24T21:50:00Z", 60, "2026-10-24T23:00:00Z")
    observe(one, "github", "2026-10-24T22:20:00Z", 0, "2026-10-24T23:00:00Z")
    one.at("2026-10-24T22:30:00Z").enqueue("a2", "sync", "gitlab", queue="fast")
    done(one, "a2", "w2", "2026-10-24T22:31:00Z", "2026-10-24T22:31:30Z")
    done(one, "d1", "w1", "2026-10-24T23:00:00Z", "2026-10-24T23:00:30Z", "slow")
    observe(one, "github", "2026-10-24T23:05:00Z", 90, "2026-10-25T00:00:00Z")
    observe(one, "slack", "2026-10-24T23:06:00Z", 50, "2026-10-25T00:00:00Z")


def failures(one: History) -> None:
    one.at("2026-10-24T23:30:00Z")
    one.send("tool_configs.patch", actor="dev", tool_name="gitlab", patch={"rate": 9}, reason="faster")
    one.at("2026-10-25T00:30:00Z")
    for number in (1, 2, 3):
        one.enqueue(f"b{number}", "sync", "gitlab", queue="fast", max_attempts=1)
    leases = [one.claim("w1", "fast") for _ in range(3)]
    for number, lease in enumerate(leases, start=1):
        one.at(f"2026-10-25T00:30:{number}0Z").send("jobs.fail", **lease, error="503")
        if number == 1:
            # It is in the same millisecond as the event before it, but is not its cause.
            one.send("tool_configs.disable", actor="on-call", tool_name="gitlab", reason="503")
    one.at("2026-10-25T00:45:00Z").enqueue("d3", "scan", "jira", queue="slow")
    one.at("2026-10-25T01:20:00Z").send("jobs.pause_queue", actor="on-call", queue="slow", reason="look")
    one.at("2026-10-25T01:30:00Z").enqueue("c1", "sync", "gitlab", queue="fast")
    done(one, "c1", "w2", "2026-10-25T01:30:05Z", "2026-10-25T01:30:25Z")
    one.at("2026-10-25T01:45:00Z").enqueue("d2", "scan", "jira", queue="slow")
    one.at("2026-10-25T02:00:00Z")
    for job in ("a1", "b1", "d1"):
        one.send("jobs.archive", id=job)
