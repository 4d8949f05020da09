"""The pages of queues: what waits in each, and pausing and resuming them."""

import re
from typing import Any

import pytest

from ops.console.pages.jobs import queues as pages_of_queues
from tests.support.clock import MINUTE_MS, Clock
from tests.support.services.asking import HttpTalk
from tests.support.services.visiting import HOSTILE, Visitor, buttons

QUEUES = "/console/queues"
MAIL = "/console/queues/mail%2Fout"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def enqueue(talk: HttpTalk, key: str, queue: str, **fields: Any) -> None:
    body = {"id": key, "type": "t", "name": key, "queue": queue, **fields}
    assert talk.command("jobs.enqueue", body).code is None


def ended(talk: HttpTalk, queue: str, verb: str, **fields: Any) -> None:
    """The next job of a queue is claimed, and its attempt ends."""
    [job] = talk.command("jobs.claim", {"worker": "w", "queue": queue}).said["result"]["jobs"]
    assert talk.command(f"jobs.{verb}", {"id": job["id"], "lease": job["lease"], **fields}).code is None


def rows(page: str) -> dict[str, list[str]]:
    """The cells of the list by the name of the queue, without their tags."""
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    cells = [
        [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td.*?>(.*?)</td>", row, re.DOTALL)]
        for row in body.split("<tr>")[1:]
    ]
    return {row[0].partition("open")[0].partition("paused")[0].strip(): row for row in cells}


def test_the_list_says_what_waits_what_is_overdue_and_what_was_done(
    talk: HttpTalk, clock: Clock, operator: Visitor
) -> None:
    for number in range(5):
        enqueue(talk, f"m{number}", "mail/out")
    enqueue(talk, "later", "mail/out", run_at=clock.now + 60 * MINUTE_MS)
    enqueue(talk, "other", "other")
    clock.now += 3 * MINUTE_MS
    ended(talk, "mail/out", "complete")
    ended(talk, "mail/out", "fail", error="x", retryable=False)
    ended(talk, "mail/out", "interrupt")
    assert talk.command("jobs.claim", {"worker": "w", "queue": "mail/out"}).code is None

    page = operator.page(QUEUES)
    name, waiting, overdue, running, done, failed = rows(page)["mail/out"]
    assert name.endswith("open")
    # The interrupted job is due again; the job that has waited longest is not due yet.
    assert (waiting, running, done, failed) == ("3", "1", "1", "1")
    assert overdue == "2due 3 min ago"
    assert 'href="/console/jobs/m' in page

    one = operator.page(MAIL)
    assert '/console/jobs?queue=mail%2Fout&amp;state=scheduled">1<' in one
    for text in (
        "the oldest was",
        "Waited for a worker",
        "3 min",
        "Ended otherwise",
        "It was never paused or limited.",
    ):
        assert text in one
    assert list(rows(operator.page(f"{QUEUES}?text=OTH"))) == ["other"]
    assert "No queue with jobs" in operator.page(f"{QUEUES}?text=none")


def test_the_chart_is_asked_for_once_a_minute_and_the_figures_beside_it_at_each_look(
    talk: HttpTalk, operator: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chart() -> str:
        return operator.page(MAIL).partition("data-chart=")[2].partition("</figure>")[0]

    monkeypatch.setattr(pages_of_queues, "CHART_SECONDS", 3_600.0)
    enqueue(talk, "m", "mail/out")
    before = chart()
    ended(talk, "mail/out", "complete")
    operator.waits_for(MAIL, 'state=completed">1<')
    assert chart() == before != ""
    monkeypatch.setattr(pages_of_queues, "CHART_SECONDS", -1.0)
    assert chart() != before


def test_a_queue_is_paused_and_resumed_and_it_is_said_by_whom_since_when_and_why(
    talk: HttpTalk, clock: Clock, operator: Visitor
) -> None:
    enqueue(talk, "m", "mail/out")
    told = operator.does(MAIL, verb="pause", reason=HOSTILE, command_id="p1")
    assert told == "The queue mail/out is paused: none of its jobs is handed out"
    assert talk.command("jobs.claim", {"worker": "w", "queue": "mail/out"}).said["result"]["jobs"] == []
    clock.now += 5 * MINUTE_MS

    for path, who in ((QUEUES, ""), (MAIL, " by a-operate-token")):
        page = operator.page(path)
        said = re.sub(r"<[^>]+>", "", page)
        assert f"5 min ago{who}: &lt;script&gt;alert(1)" in said
        assert "<script>alert" not in page
    assert {"Resume…", "Resume"} <= set(buttons(operator.page(MAIL)))
    # The list is replaced every few seconds, so it has no buttons for pausing.
    assert buttons(operator.page(QUEUES)) == ["Filter"]
    assert "A queue is paused and resumed on its page" in operator.page(QUEUES)
    # A queue without jobs is listed while it is paused.
    operator.does("/console/queues/empty", verb="pause")
    assert "1 queue of that name" in operator.page(f"{QUEUES}?text=empty")
    # The same form again: pressed twice, or sent again by a browser.
    assert operator.does(MAIL, verb="resume") == "The queue mail/out hands out its jobs again"
    operator.does(MAIL, verb="pause", reason=HOSTILE, command_id="p1")
    page = operator.page(MAIL)
    assert {"Pause…", "Pause"} <= set(buttons(page))
    assert "resumed" in page
    assert "paused, resumed or limited" in operator.does(MAIL, verb="delete")


def test_a_queue_is_limited_and_the_form_has_the_limits_that_there_are(
    talk: HttpTalk, operator: Visitor
) -> None:
    told = operator.does(MAIL, verb="limit", concurrency="3", rate="600", window_ms="60000")
    assert told == "The queue mail/out has these limits from now on"
    row = talk.query("queues.get", {"name": "mail/out"}).said
    assert (row["concurrency"], row["rate"]) == (3, {"limit": 600, "window_ms": 60_000})
    page = operator.page(MAIL)
    assert all(f'value="{value}"' in page for value in (3, 600, 60_000))

    assert "needs both" in operator.does(MAIL, verb="limit", rate="600")
    assert "is a number" in operator.does(MAIL, verb="limit", concurrency="few")
    assert talk.query("queues.get", {"name": "mail/out"}).said["concurrency"] == 3

    # An empty field takes the limit away.
    operator.does(MAIL, verb="limit", concurrency="", rate="", window_ms="")
    assert not {"concurrency", "rate"} & talk.query("queues.get", {"name": "mail/out"}).said.keys()


def test_paused_queues_that_do_not_fit_into_one_answer_are_there(
    talk: HttpTalk, operator: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_of_queues, "MAXIMUM_QUEUES", 2)
    for name in ("a", "b", "c", "d", "e"):
        assert talk.command("jobs.pause_queue", {"queue": name}).code is None
    page = operator.page(QUEUES)
    assert list(rows(page)) == ["a", "b", "c", "d", "e"]
    assert "5 are paused" in page


def test_pages_are_turned_by_name_and_who_may_only_read_has_no_buttons(
    talk: HttpTalk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_of_queues, "PAGE_ROWS", 2)
    for name in ("a", "b", "mail/out"):
        enqueue(talk, name, name)
    reader = Visitor(talk, "read")
    first = reader.page(QUEUES)
    assert list(rows(first)) == ["a", "b"]
    following = first.partition('rel="next" href="')[2].partition('"')[0]
    assert list(rows(reader.page(following))) == ["mail/out"]

    assert buttons(reader.page(f"{QUEUES}?text=mail")) == ["Filter"]
    assert buttons(reader.page(MAIL)) == ["Its jobs"]
    refused = reader.post(MAIL, verb="pause")
    assert refused.status_code == 403
    assert talk.query("queues.count").said["count"] == 0
    # Every key is the name of a queue, and nothing else is.
    assert "It was never paused or limited." in reader.page(f"{QUEUES}/new")
    assert reader.get(f"{QUEUES}/%3Cb%3E").status_code == 400


def test_limits_are_shown_on_the_pages_of_their_queue_and_of_their_job(
    talk: HttpTalk, operator: Visitor
) -> None:
    rate = {"limit": 600, "window_ms": 60_000}
    assert talk.command("jobs.limit_queue", {"queue": "other", "concurrency": 20, "rate": rate}).code is None
    assert "Limited to 20 jobs that run at once, and to 600 attempts that begin in 1 min" in operator.page(
        f"{QUEUES}/other"
    )
    for key in ("a", "b"):
        limits = {"concurrency": {"key": "acme", "limit": 1}, "rate": {"limit": 5, "window_ms": 60_000}}
        enqueue(talk, key, "other", **limits)
    talk.command("jobs.claim", {"worker": "w", "queue": "other", "limit": 2})
    page = operator.page("/console/jobs/b")
    assert "<code>acme</code>: 1 of 1 run; it waits until one of them ends" in page
    assert "<code>t</code>: 5 attempts in 1 min" in page
    assert "it waits until" not in operator.page("/console/jobs/a")
