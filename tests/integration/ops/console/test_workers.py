"""The page of workers: their jobs, since when and until when."""

import re

import pytest

from ops.console import visit
from tests.support.clock import MINUTE_MS, Clock
from tests.support.services.asking import HttpTalk
from tests.support.services.visiting import HOSTILE, Visitor, buttons

WORKERS = "/console/workers"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_page_says_who_has_what_since_when_and_what_they_did(
    talk: HttpTalk, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each page is as new as the store.
    monkeypatch.setattr(visit, "SHARED_SECONDS", 0)
    reader = Visitor(talk, "read")
    page = reader.page(WORKERS)
    assert "No worker has a job" in page
    assert buttons(page) == []

    for key in ("a", "b", "c"):
        job = {"id": key, "type": "t", "name": f"Job {key}", "queue": "mail/out"}
        assert talk.command("jobs.enqueue", job).code is None
    claims = [
        talk.command("jobs.claim", {"worker": worker, "queue": "mail/out", "lease_ms": 10 * MINUTE_MS})
        for worker in ("w&1", HOSTILE, "w&1")
    ]
    held = [claim.said["result"]["jobs"][0] for claim in claims]
    clock.now += 4 * MINUTE_MS
    done = {"id": held[0]["id"], "lease": held[0]["lease"]}
    assert talk.command("jobs.complete", done).code is None

    page = reader.page(WORKERS)
    for text in ("Job b", "Job c", "4 min", "in 6 min", "&lt;script&gt;alert(1)", "the last 1 h,"):
        assert text in page
    # A completed attempt of one, and of both a job that they have.
    assert page.count('?worker=w%261">') == 2
    assert ">now</time>" in page
    assert "Job a" not in page
    assert "<script>alert" not in page
    one = reader.page(f"{WORKERS}?worker=w%261")
    assert "Job c" in one
    assert "Job b" not in one
    assert "This worker has no job" in reader.page(f"{WORKERS}?worker=nobody")


def test_who_asks_in_vain_is_there_with_what_it_asks_for_and_so_are_jobs_that_nobody_asks_for(
    talk: HttpTalk, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit, "SHARED_SECONDS", 0)
    reader = Visitor(talk, "read")
    claim = {"worker": "w", "types": list("abcdefg"), "host": "m-1", "version": HOSTILE}
    assert talk.command("jobs.claim", claim).code is None
    for number in range(7):
        assert talk.command("jobs.claim", {"worker": "many", "queue": f"q{number}"}).code is None
    talk.command("jobs.enqueue", {"type": "lonely", "name": "A job", "queue": "mail/out"})
    looks = talk.service.health.work
    looks.look()
    assert "nobody asks for" not in reader.page(WORKERS)
    clock.now += 20 * MINUTE_MS
    looks.look()

    page = reader.page(WORKERS)
    said = " ".join(re.sub(r"<[^>]+>", "", page).split())
    assert "&lt;script&gt;alert(1)" in said
    assert "7 * 7 }} on m-1" in said
    assert "a, b, c, d, e and 2 more of default" in said
    assert said.count("all of q") == 5
    assert "and of 2 more" in said
    assert "Jobs that nobody asks for" in page
    assert "queue=mail%2Fout&amp;type=lonely" in page
    assert "20 min" in said
