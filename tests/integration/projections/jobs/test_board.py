"""Jobs as people look for them, over a real store."""

from contextlib import closing
from typing import Any

import msgspec
import pytest

from migrations.connection import open_reader
from projections import reading
from projections.jobs import board
from projections.jobs.board import BrowseJobs, browse_jobs
from tests.support.documents.reference_examples import ask
from tests.support.stores.writing import Store


def enqueue(store: Store, job_id: str, **more: Any) -> None:
    body = {"id": job_id, "type": "sync", "name": job_id, "payload": {"large": "x" * 99}}
    assert store.send("jobs.enqueue", body | more).code is None
    store.clock.now += 10


def browse(store: Store, **query: Any) -> Any:
    return msgspec.json.decode(ask(store, "jobs.browse", query))


def ids(page: Any) -> list[str]:
    return [item["id"] for item in page["items"]]


def test_pages_show_every_job_once_the_newest_first_also_those_of_one_moment(unattended: Store):
    for name in "abcde":
        enqueue(unattended, name)
        unattended.clock.now -= 10
    enqueue(unattended, "f")

    pages, after = [], None
    while True:
        page = browse(unattended, limit=2, **({} if after is None else {"after": after}))
        pages.append(ids(page))
        if (after := page["next"]) is None:
            break

    assert pages == [["f", "e"], ["d", "c"], ["b", "a"]]


def test_finished_jobs_come_by_when_they_ended(unattended: Store):
    for name in "abc":
        enqueue(unattended, name)
    for name in "bca":
        unattended.send("jobs.cancel", {"id": name})
        unattended.clock.now += 10

    first = browse(unattended, state="cancelled", limit=2)
    assert ids(first) == ["a", "c"]
    assert ids(browse(unattended, state="cancelled", limit=2, after=first["next"])) == ["b"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"state": "pending"}, ["c", "a"]),
        ({"state": "held"}, ["b"]),
        ({"queue": "mail"}, ["c"]),
        ({"type": "send", "tool": "smtp"}, ["c"]),
        ({"tag": "night"}, ["b"]),
        ({"text": "B"}, ["b"]),
        ({"text": "nightly R"}, ["d"]),
        ({"state": "pending", "tag": "night"}, []),
    ],
)
def test_jobs_are_found_by_what_they_are(unattended: Store, query: dict[str, Any], found: list[str]):
    enqueue(unattended, "a")
    enqueue(unattended, "b", hold=True, tags=["night"])
    enqueue(unattended, "c", queue="mail", type="send", tool="smtp")
    enqueue(unattended, "d", name="Nightly report", queue="reports", run_at=unattended.clock.now + 10_000)

    assert ids(browse(unattended, **query)) == found


def test_what_can_be_large_is_not_on_the_board(unattended: Store):
    enqueue(unattended, "a")
    lease = unattended.send("jobs.claim", {"worker": "w"})["result"]["jobs"][0]["lease"]
    unattended.send("jobs.fail", {"id": "a", "lease": lease, "error": "e" * 900, "retryable": False})

    [item] = browse(unattended)["items"]

    assert len(item["error"]) == 300
    assert "payload" not in item
    assert item["state"] == "failed"


def test_of_a_long_traceback_the_board_has_the_end_which_says_what_happened(unattended: Store):
    enqueue(unattended, "a")
    lease = unattended.send("jobs.claim", {"worker": "w"})["result"]["jobs"][0]["lease"]
    lines = "".join(f'  File "module_{number}.py", line 1\n' for number in range(60))
    error = f"Traceback (most recent call last):\n{lines}ValueError: no such page"
    unattended.send("jobs.fail", {"id": "a", "lease": lease, "error": error, "retryable": False})

    [item] = browse(unattended)["items"]

    assert len(item["error"]) == 300
    assert item["error"].startswith("Traceback (most recent call last):\n…")
    assert item["error"].endswith("\nValueError: no such page")


def test_a_search_for_what_is_rare_looks_at_a_bounded_number_of_rows(
    unattended: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(board, "MAXIMUM_SCANNED_ROWS", 3)
    enqueue(unattended, "rare", queue="mail")
    for name in "abcd":
        enqueue(unattended, name)

    first = browse(unattended, queue="mail")
    assert ids(first) == []
    assert ids(browse(unattended, queue="mail", after=first["next"])) == ["rare"]


def test_what_is_rare_is_found_behind_any_number_of_newer_jobs(
    unattended: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(board, "MAXIMUM_SCANNED_ROWS", 3)
    monkeypatch.setattr(reading, "ROWS_LOOKED_AT", 2)
    enqueue(unattended, "held", hold=True)
    enqueue(unattended, "grouped", group_id="g")
    for name in "abcd":
        enqueue(unattended, name)

    assert ids(browse(unattended, state="held")) == ["held"]
    assert ids(browse(unattended, group_id="g")) == ["grouped"]
    assert ids(browse(unattended, state="pending", limit=1)) == ["d"]


def test_a_page_takes_no_longer_where_more_jobs_wait(unattended: Store):
    def steps(query: BrowseJobs) -> int:
        taken = 0

        def step() -> bool:
            nonlocal taken
            taken += 1
            return False

        with closing(open_reader(unattended.path)) as connection:
            connection.set_progress_handler(step, 10)
            browse_jobs(connection, query)
        return taken

    def enqueue_many(name: str) -> None:
        for number in range(100):
            enqueue(unattended, f"{name}{number:03}")

    pages = [BrowseJobs(limit=5), BrowseJobs(limit=5, state="pending"), BrowseJobs(limit=5, state="failed")]
    enqueue_many("a")
    before = [steps(page) for page in pages]
    enqueue_many("b")
    assert [steps(page) for page in pages] == before


def test_jobs_that_are_named_come_without_what_can_be_large(unattended: Store):
    for name in "abc":
        enqueue(unattended, name)
    named = unattended.in_writer(lambda connection: board.summaries(connection, ("c", "a", "gone")))
    assert named == {one["id"]: one for one in browse(unattended)["items"] if one["id"] != "b"}
    assert "payload" not in named["a"]
