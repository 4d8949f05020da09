"""The overview: the service's health, and pages without a service or with a defect."""

import re
from pathlib import Path

import pytest

from projections.jobs import statistics
from tests.support.clock import MINUTE_MS, Clock
from tests.support.patience import until
from tests.support.services.asking import HttpTalk
from tests.support.services.watching import eventually


def tile(page: str, label: str) -> str:
    """The text under a label, without its markup."""
    found = re.search(rf"<dt>{label}</dt><dd>(.*?)</dd>", page, re.DOTALL)
    assert found is not None, label
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", found[1])).strip()


def test_it_says_that_all_is_well_and_what_goes_on(talk: HttpTalk) -> None:
    for number in range(40):
        talk.command("jobs.enqueue", {"id": f"j{number}", "type": "t", "name": "n"})
    page = talk.get("/console").text

    assert "All is well" in page
    assert tile(page, "pending") == "40"
    assert tile(page, "Overdue") == "40 due, and not claimed"
    assert tile(page, "Position") == "40 timeline 1"
    assert float(tile(page, "Commands a second").split()[0]) > 0
    assert tile(page, "Last backup") == "– of 0"


def first(talk: HttpTalk, label: str) -> str:
    """The text under a label that stands before all else."""
    page = talk.get("/console").text
    assert page.index(f"<dt>{label}</dt>") < page.index('id="flow"')
    return tile(page, label)


def test_what_an_operator_asks_first_is_told_of_an_empty_store(talk: HttpTalk) -> None:
    assert first(talk, "Oldest overdue job") == "none what is due is claimed"
    assert first(talk, "Failed in the last hour") == "0 of 0 attempts"
    assert first(talk, "A restore reaches back to") == "nothing there is no event yet"


def test_what_is_late_what_fails_and_what_can_be_restored_stands_first(talk: HttpTalk) -> None:
    for key in ("first/job", "second"):
        talk.command("jobs.enqueue", {"id": key, "type": "t", "name": "n"})
    job = talk.command("jobs.claim", {"worker": "w"}).said["result"]["jobs"][0]
    talk.command("jobs.fail", {"id": job["id"], "lease": job["lease"], "error": "e", "retryable": False})

    def is_archived() -> bool:
        archive = talk.service.health.look.archive
        return archive is not None and archive.position == talk.service.leading.writer.head.position

    talk.run(until(is_archived))

    assert first(talk, "Oldest overdue job").endswith("due for so long, and not claimed; one of 1")
    page = talk.get("/console").text
    assert ("The service is well" in page, "nothing asks" in page) == (True, False)
    assert 'href="/console/jobs/second"' in talk.get("/console").text
    assert first(talk, "Failed in the last hour") == "1 of 1 attempt"
    assert tile(talk.get("/console").text, "Attempts of the last hour") == "1 1 of them failed"
    assert "by the archive alone, since there is no backup" in first(talk, "A restore reaches back to")

    name = talk.administer("backup.create", {"description": ""}).said["path"].rpartition("/")[2]
    talk.run(until(lambda: talk.service.health.look.backups.last == name, 60))
    at = talk.query("events.read", {"limit": 1}).said["items"][0]["time"]
    reaches = first(talk, "A restore reaches back to")
    assert reaches.startswith(at[:19].replace("T", " "))
    assert "by the archive alone" not in reaches


def test_the_first_page_is_about_all_queues_however_many_there_are(
    talk: HttpTalk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "MAXIMUM_QUEUES", 1)
    for key, queue in (("oldest", "z"), ("second", "a"), ("third", "a")):
        talk.command("jobs.enqueue", {"id": key, "type": "t", "name": "n", "queue": queue})
    assert first(talk, "Oldest overdue job").endswith("one of 3")
    page = talk.get("/console").text
    assert 'href="/console/jobs/oldest"' in page
    assert (tile(page, "pending"), tile(page, "Overdue")) == ("3", "3 due, and not claimed")
    assert "1 more is not listed, and has its page at" in talk.get("/console/queues").text


def test_an_attempt_that_lost_its_worker_failed_and_one_that_was_given_back_did_not(tmp_path: Path) -> None:
    clock = Clock()
    with HttpTalk(tmp_path, clock=clock) as talk:
        talk.command("jobs.enqueue", {"id": "lost", "type": "t", "name": "n"})
        [job] = talk.command("jobs.claim", {"worker": "w"}).said["result"]["jobs"]
        talk.command("jobs.interrupt", {"id": job["id"], "lease": job["lease"]})
        assert talk.command("jobs.claim", {"worker": "w"}).said["result"]["jobs"]
        clock.now += 20 * MINUTE_MS

        async def is_rescued() -> bool:
            answer = await talk.client.query("jobs.stats", {})
            return "rescued" in answer.said["queues"]["default"]["attempts"]

        eventually(talk, is_rescued)
        clock.now += MINUTE_MS
        assert first(talk, "Failed in the last hour") == "1 of 2 attempts"
        assert tile(talk.get("/console").text, "Attempts of the last hour") == "2 1 of them failed"


def test_it_says_why_all_is_not_well(tmp_path: Path) -> None:
    with HttpTalk(tmp_path, disk_free_degraded_mib=2**40, disk_free_unhealthy_mib=0) as talk:
        page = talk.get("/console").text
    assert "It works, and wants a look" in page
    assert "<code>disk_low</code>" in page
    assert 'class="mark degraded"' in page


def test_the_last_backup_and_the_last_proven_one_stand_there(talk: HttpTalk) -> None:
    talk.command("app_state.set", {"key": "k", "value": 1})
    name = talk.administer("backup.create", {"description": "by hand"}).said["path"].rpartition("/")[2]
    talk.administer("backup.drill", {"name": name})

    def is_known() -> bool:
        return talk.service.health.look.backups.last_proven == name

    talk.run(until(is_known, 60))
    page = talk.get("/console").text
    assert tile(page, "Last backup").endswith("ago of 1")
    assert tile(page, "Last proven").endswith("a store was made from it, and compared")
    assert page.count(f'href="/console/backups/{name}"') == 2


def test_while_there_is_no_service_pages_say_so_and_come_back_by_themselves(talk: HttpTalk) -> None:
    http = talk.service.http
    assert http is not None
    backend = http.backend

    async def come_back() -> None:
        backend.attach(talk.service.parts, talk.service.health, talk.service.metrics)

    talk.run(backend.detach())
    try:
        for path in ("/console", "/console/jobs", "/console/tail"):
            answer = talk.get(path)
            assert answer.status_code == 503
            assert '<meta http-equiv="refresh" content="2">' in answer.text
    finally:
        talk.run(come_back())
    assert talk.get("/console").status_code == 200


def test_a_page_with_a_defect_tells_the_incident_and_nothing_else(
    talk: HttpTalk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # The page cannot render such a report.
    monkeypatch.setattr(talk.service.health, "report", lambda: {"status": "secret"})
    answer = talk.get("/console")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    incident = re.search(r"incident <code>([0-9a-f-]{36})</code>", answer.text)
    assert incident is not None
    assert incident[1] in caplog.text
    assert "secret" not in answer.text
    assert "Undefined" not in answer.text
