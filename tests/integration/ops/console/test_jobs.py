"""The job board, the page of a job, and what is done there."""

import html
from typing import Any

import pytest

from ops.console.pages.jobs import board as page_of_jobs
from projections.jobs import board as job_board
from tests.support.services.asking import HttpTalk
from tests.support.services.visiting import HOSTILE, Visitor, buttons

KEY = "sync/acme:1"
PAGE = "/console/jobs/sync%2Facme:1"


def enqueue(talk: HttpTalk, key: str = KEY, **fields: Any) -> None:
    body = {"id": key, "type": "sync", "name": "Sync acme", "payload": {"secret_plan": HOSTILE}, **fields}
    assert talk.command("jobs.enqueue", body).code is None


def state(talk: HttpTalk, key: str = KEY) -> str:
    found: str = talk.query("jobs.get", {"id": key}).said["state"]
    return found


def test_the_board_counts_filters_and_turns_pages(talk: HttpTalk, operator: Visitor) -> None:
    for number in range(55):
        enqueue(talk, f"j{number}", name=f"Job {number:02}", tags=["odd" if number % 2 else "even"])
    enqueue(talk, "held", name="A held one", hold=True)

    first = operator.page("/console/jobs")
    assert '>all <b class="figure">56<' in first
    assert "A held one" in first
    assert "Job 05" not in first
    older = first.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "Job 05" in operator.page(older)

    odd = operator.page("/console/jobs?tag=odd")
    assert "Job 01" in odd
    assert "Job 02" not in odd
    assert "A held one" in operator.page("/console/jobs?state=held")
    assert "No job is like this." in operator.page("/console/jobs?state=failed")
    assert operator.get("/console/jobs?state=nonsense").status_code == 400


def test_a_job_behind_many_that_are_not_meant_is_found_and_counted(
    talk: HttpTalk, operator: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_board, "MAXIMUM_SCANNED_ROWS", 2)
    enqueue(talk, "rare", name="The rare one", tags=["rare"])
    for number in range(9):
        enqueue(talk, f"j{number}", queue="mail")
    enqueue(talk, "held", name="A held one", hold=True, tags=["rare"])

    page = operator.page("/console/jobs?tag=rare")
    assert "The rare one" in page
    assert '>all <b class="figure">2<' in page
    assert '>held <b class="figure">1<' in page
    assert '>all <b class="figure">9<' in operator.page("/console/jobs?queue=mail")

    found = operator.page("/console/jobs?text=The+RARE")
    assert found.count("The rare one") == 1
    assert 'class="row-link"' not in operator.page("/console/jobs?text=no+such+one")

    # The page looks through a part of the jobs, and says so instead of saying that there are none.
    monkeypatch.setattr(page_of_jobs, "BROWSED_PARTS", 3)
    page = operator.page("/console/jobs?tag=rare&state=pending")
    assert "No job is like this as far back as" in page
    assert page.count("The rare one") == 0
    for _ in range(3):
        older = page.partition("Look at older ones")[0].rpartition('href="')[2].partition('"')[0]
        page = operator.page(older.replace("&amp;", "&"))
        if "The rare one" in page:
            break
    assert "The rare one" in page
    # A job whose id is given is found all the same.
    assert operator.page("/console/jobs?text=rare").count("The rare one") == 1


def test_a_page_tells_a_job_and_keeps_its_payload_back(talk: HttpTalk, operator: Visitor) -> None:
    enqueue(talk, type=HOSTILE)
    job = talk.command("jobs.claim", {"worker": HOSTILE}).said["result"]["jobs"][0]
    talk.command("jobs.fail", {"id": KEY, "lease": job["lease"], "error": HOSTILE, "retryable": False})

    page = operator.page(PAGE)
    for text in ("Sync acme", "enqueued", "claimed", "failed", "1 of 5"):
        assert text in page
    assert "secret_plan" not in page
    shown = operator.page(PAGE + "?show=payload")
    assert "secret_plan" in shown
    for text in (page, shown):
        assert "&lt;script&gt;alert(1)" in text
        assert "<script>alert" not in text


def test_an_error_of_many_lines_keeps_them_and_lists_say_what_happened(
    talk: HttpTalk, operator: Visitor
) -> None:
    error = 'Traceback (most recent call last):\n  File "a.py", line 7\n    call()\nValueError: no such page'
    enqueue(talk, timeout_ms=90_000)
    job = talk.command("jobs.claim", {"worker": "w"}).said["result"]["jobs"][0]
    talk.command("jobs.fail", {"id": KEY, "lease": job["lease"], "error": error, "retryable": False})

    page = operator.page(PAGE)
    whole = error.replace('"', "&#34;")
    # The error is shown for the job, and for its attempt below the summary.
    assert page.count(f">{whole}</pre>") == 2
    assert "<summary>ValueError: no such page</summary>" in page
    # In the time line, with times and lengths of time written out.
    assert "<i>error</i> <bdi>ValueError: no such page …</bdi>" in page
    assert "<i>timeout</i> 1 min 30 s" in page
    assert '<span class="cut">ValueError: no such page</span>' in operator.page("/console/jobs")


def test_a_traceback_stands_with_its_attempt_and_is_folded_where_it_is_long(
    talk: HttpTalk, operator: Visitor
) -> None:
    short = "Traceback (most recent call last):\n  in call()\nKeyError: missing"
    long = "Traceback (most recent call last):\n" + "  in call()\n" * 20 + "KeyError: missing"
    enqueue(talk)
    for traceback in (short, long):
        job = talk.command("jobs.claim", {"worker": "w"}).said["result"]["jobs"][0]
        failed = {"id": KEY, "lease": job["lease"], "error": "KeyError: missing", "traceback": traceback}
        talk.command("jobs.fail", failed | {"retry_at": 0})
        page = operator.page(PAGE)
        summary, of_attempt = "<summary>Where it failed</summary>", f"Traceback of attempt {job['attempt']}"
        assert (summary in page) is (traceback == long)
        assert page.count(f">{traceback}</pre>") == 2
        assert f"<summary>{of_attempt}</summary>" in page
        # The time line has the error alone.
        assert "<i>traceback</i>" not in page


def test_what_can_be_done_depends_on_the_state_and_is_done_once(talk: HttpTalk, operator: Visitor) -> None:
    enqueue(talk)
    assert "Retry…" not in buttons(operator.page(PAGE))

    assert operator.does(PAGE, verb="hold", command_id="h1") == "The job is held, and no worker gets it"
    assert state(talk) == "held"
    operator.does(PAGE, verb="release", command_id="r1")
    # The same form again: pressed twice, or sent again by a browser.
    operator.does(PAGE, verb="hold", command_id="h1")
    assert state(talk) == "pending"
    operator.does(PAGE, verb="cancel", reason="no longer needed", command_id="c1")
    assert state(talk) == "cancelled"
    assert "no longer needed" in operator.page(PAGE)
    assert {"Retry…", "Retry"} <= set(buttons(operator.page(PAGE)))
    assert operator.does(PAGE, verb="retry") == "The job will be tried again"
    assert state(talk) == "pending"

    events = talk.query("jobs.history", {"id": KEY}).said["items"]
    assert {one["actor"] for one in events[1:]} == {"a-operate-token"}


def test_a_refusal_is_told_on_the_page_that_asked(talk: HttpTalk, operator: Visitor) -> None:
    enqueue(talk)
    assert "pending" in operator.does(PAGE, verb="retry")
    assert "cancelled, retried, held or released here" in operator.does(PAGE, verb="claim")


def test_an_archived_job_is_told_by_the_log(talk: HttpTalk, operator: Visitor) -> None:
    enqueue(talk)
    talk.command("jobs.cancel", {"id": KEY})
    talk.command("jobs.archive", {"id": KEY})
    page = operator.page(PAGE)
    assert "This job was archived" in page
    assert operator.get("/console/jobs/nobody").status_code == 404


def test_who_may_only_read_sees_no_buttons_and_is_refused(talk: HttpTalk) -> None:
    enqueue(talk)
    reader = Visitor(talk, "read")

    assert buttons(reader.page(PAGE)) == ["Show the payload"]
    assert buttons(reader.page("/console/jobs?state=pending")) == ["Filter"]
    for refused in (
        reader.post(PAGE, verb="cancel"),
        reader.post("/console/jobs/-/bulk", verb="cancel", state="pending"),
        reader.get("/console/jobs/-/bulk?verb=cancel&state=pending"),
    ):
        assert refused.status_code == 403
        assert "needs the role operate" in refused.text
    assert state(talk) == "pending"


def test_a_form_of_no_page_of_the_session_changes_nothing(talk: HttpTalk, operator: Visitor) -> None:
    enqueue(talk)
    for csrf_token in ("", "guessed", Visitor(talk, "admin").csrf_token):
        refused = operator.post(PAGE, verb="cancel", csrf_token=csrf_token)
        assert refused.status_code == 403
    assert state(talk) == "pending"


def test_many_are_changed_after_a_look_at_which(talk: HttpTalk, operator: Visitor) -> None:
    for number in range(3):
        enqueue(talk, f"a{number}", queue="a")
    enqueue(talk, "b", queue="b")

    look = operator.page("/console/jobs/-/bulk?verb=cancel&queue=a")
    assert "Cancel 3 jobs?" in look
    # The page lists the jobs, by name and state.
    assert look.count("Sync acme</a>") == look.count('<span class="state pending">pending</span>') == 3
    assert state(talk, "a0") == "pending"

    # A refusal leads back to this page, with the reason that was typed.
    back = html.unescape(look.partition('name="back" value="')[2].partition('"')[0])
    refused = operator.post("/console/jobs/-/bulk", verb="cancel", queue="a", reason="z" * 2_000, back=back)
    again = operator.page(refused.headers["location"])
    assert "Cancel 3 jobs?" in again
    assert f'value="{"z" * 2_000}"' in again

    told = operator.does("/console/jobs/-/bulk", verb="cancel", queue="a", reason="a wrong list")
    assert told == "3 jobs were cancelled, or asked to end"
    assert [state(talk, key) for key in ("a0", "a1", "a2", "b")] == ["cancelled"] * 3 + ["pending"]

    assert "Retry 3 jobs?" in operator.page("/console/jobs/-/bulk?verb=retry&state=cancelled&queue=a")
    assert operator.does("/console/jobs/-/bulk", verb="retry", queue="a") == "3 jobs were retried"
    told = operator.does("/console/jobs/-/bulk", verb="cancel", back="/console/jobs?queue=b")
    assert "says which jobs are meant" in told
    assert operator.get("/console/jobs/-/bulk?verb=cancel").status_code == 400
