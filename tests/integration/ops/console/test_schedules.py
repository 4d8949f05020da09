"""The pages of schedules: their next runs and their last ones, and what is done with them."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.errors import Invalid
from ops.console.pages.jobs.schedules import upcoming
from tests.support.clock import DAY_MS, HOUR_MS, MINUTE_MS, NOW, Clock
from tests.support.services.asking import HttpTalk
from tests.support.services.visiting import HOSTILE, Visitor, buttons
from tests.support.services.watching import eventually

SCHEDULES = "/console/schedules"
NIGHTLY = "/console/schedules/nightly%2F1"
JOB = {"type": "report", "name": "The report", "queue": "mail/out", "payload": {"text": HOSTILE}}


@pytest.fixture
def clock() -> Clock:
    return Clock()


def put(talk: HttpTalk, key: str = "nightly/1", **fields: Any) -> None:
    body = {"id": key, "job": JOB, **({"every_ms": HOUR_MS} if "cron" not in fields else {}), **fields}
    assert talk.command("schedules.set", body).code is None


def row(**fields: Any) -> dict[str, Any]:
    known = {"every_ms": None, "cron": None, "time_zone": "UTC", "paused": False, "next_run_at": NOW}
    return known | fields


def test_the_next_times_are_those_that_it_will_run_at() -> None:
    every = upcoming(row(every_ms=HOUR_MS, next_run_at=NOW + 1_000), NOW)
    assert every == [(NOW + 1_000 + number * HOUR_MS, None) for number in range(5)]
    # Paused for two and a half intervals: it stays in step.
    [first, *_] = upcoming(row(every_ms=HOUR_MS, next_run_at=NOW - 150 * MINUTE_MS, paused=True), NOW)
    assert first == (NOW + 30 * MINUTE_MS, None)
    assert upcoming(row(cron="30 2 * * *", next_run_at=None), NOW) == []
    # The time zone of an interval is not used, so a wrong one does no harm.
    assert upcoming(row(every_ms=HOUR_MS, time_zone="Nowhere"), NOW)[0] == (NOW, None)
    for is_paused in (True, False):
        with pytest.raises(Invalid, match="no time zone Nowhere"):
            upcoming(row(cron="30 2 * * *", time_zone="Nowhere", paused=is_paused), NOW)

    at = int(datetime(2026, 10, 24, 12, tzinfo=UTC).timestamp()) * 1_000
    paused = row(cron="30 2 * * *", time_zone="Europe/Berlin", next_run_at=at - DAY_MS, paused=True)
    # Clocks go back in the first night.
    assert [local for _, local in upcoming(paused, at)][:2] == [
        "Sun 2026-10-25 02:30:00 CEST",
        "Mon 2026-10-26 02:30:00 CET",
    ]


def test_the_list_says_when_each_runs_and_ran(talk: HttpTalk, operator: Visitor) -> None:
    assert "There is no schedule." in operator.page(SCHEDULES)
    put(talk)
    put(talk, "berlin", cron="0 9 * * 1-5", time_zone="Europe/Berlin")
    talk.command("schedules.pause", {"id": "berlin"})
    made = talk.command("schedules.trigger", {"id": "nightly/1"}).said["result"]["id"]

    page = operator.page(SCHEDULES)
    for text in ("every 1 h", "in 1 h", "0 9 * * 1-5", "Europe/Berlin", f'href="/console/jobs/{made}"'):
        assert text in page
    for choice, found, other in (("yes", "berlin", "nightly"), ("no", "nightly", "berlin")):
        page = operator.page(f"{SCHEDULES}?paused={choice}")
        assert f'class="row-link" href="{SCHEDULES}/{found}' in page
        assert f'class="row-link" href="{SCHEDULES}/{other}' not in page


def test_a_page_tells_the_next_runs_and_what_became_of_the_last_ones(
    talk: HttpTalk, clock: Clock, operator: Visitor
) -> None:
    put(talk, time_zone="Europe/Berlin", cron="0 9 * * *")
    assert operator.does(NIGHTLY, verb="trigger").startswith("A job was made: ")
    due = talk.query("schedules.get", {"id": "nightly/1"}).said["next_run_at"]
    clock.now = due

    async def has_run() -> bool:
        answer = await talk.client.query("schedules.get", {"id": "nightly/1"})
        return bool(answer.said["next_run_at"] > due)

    eventually(talk, has_run)
    page = operator.page(NIGHTLY)
    assert page.count(" 09:00:00 CET<") == 5
    assert re.search(r"triggered\s+by <span[^>]*>a-operate-token<", page)
    assert f'href="/console/jobs/nightly%2F1%40{due}"' in page
    assert page.count('<span class="state pending">') == 2
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    # The page of a job leads to its schedule.
    assert f'href="{NIGHTLY}"' in operator.page(f"/console/jobs/nightly%2F1%40{due}")
    assert operator.get(f"{SCHEDULES}/nobody").status_code == 404


def test_when_a_run_was_done_is_told_from_when_it_was_due(
    talk: HttpTalk, clock: Clock, operator: Visitor
) -> None:
    put(talk)
    operator.does(NIGHTLY, verb="trigger")
    clock.now += 3 * MINUTE_MS
    [job] = talk.command("jobs.claim", {"worker": "w", "queue": "mail/out"}).said["result"]["jobs"]
    clock.now += 7_000
    assert talk.command("jobs.complete", {"id": job["id"], "lease": job["lease"]}).code is None
    page = operator.page(NIGHTLY)
    assert "Done after" in page
    assert '<td class="mid number">3 min 7 s</td>' in page


def test_a_schedule_is_paused_resumed_and_deleted_by_who_may(talk: HttpTalk, operator: Visitor) -> None:
    put(talk)
    reader = Visitor(talk, "read")
    assert buttons(reader.page(SCHEDULES)) == []
    assert buttons(reader.page(NIGHTLY)) == []
    for verb in ("trigger", "pause", "delete"):
        assert reader.post(NIGHTLY, verb=verb).status_code == 403

    assert "until it is resumed" in operator.does(NIGHTLY, verb="pause")
    page = operator.page(NIGHTLY)
    assert "if it is resumed now" in page
    assert {"Trigger…", "Resume…", "Delete…"} <= set(buttons(page))
    assert operator.does(NIGHTLY, verb="resume") == "The schedule makes jobs again"
    assert "deleted here" in operator.does(NIGHTLY, verb="set")
    assert "is gone" in operator.does(NIGHTLY, verb="delete")
    assert "This schedule was deleted" in operator.page(NIGHTLY)
    assert "there is no schedule" in operator.does(NIGHTLY, verb="trigger")
    events = talk.query("schedules.history", {"id": "nightly/1"}).said["items"]
    assert [one.get("actor") for one in events[1:]] == ["a-operate-token"] * 3
