"""The stream browser: the log, one event, and what hangs together."""

import re
from typing import Any

import pytest

from ops.console.pages.events import DEEPEST, as_tree
from tests.support.services.asking import HttpTalk
from tests.support.services.visiting import HOSTILE, Visitor


@pytest.fixture
def reader(talk: HttpTalk) -> Visitor:
    return Visitor(talk, "read")


def positions(page: str) -> list[int]:
    """Of the events in a list, in its order."""
    return [int(one) for one in re.findall(r'class="row-link word" href="/console/events/(\d+)"', page)]


def test_the_log_is_read_from_its_end_and_by_what_events_say(talk: HttpTalk, reader: Visitor) -> None:
    headers = {"Hyperpage-Correlation-Id": "import-7"}
    for number in range(1, 61):
        talk.command("app_state.set", {"key": f"k{number % 2}", "value": number})
    talk.command("jobs.enqueue", {"id": "j", "type": "t", "name": HOSTILE}, headers=headers)

    newest = reader.page("/console/events")
    assert positions(newest) == list(range(61, 11, -1))
    older = newest.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert positions(reader.page(older)) == list(range(11, 0, -1))

    assert positions(reader.page("/console/events?table=jobs")) == [61]
    assert positions(reader.page("/console/events?type=job.enqueued.v1")) == [61]
    assert positions(reader.page("/console/events?correlation_id=import-7")) == [61]
    assert positions(reader.page("/console/events?stream=app_state/k1&table=jobs"))[:2] == [59, 57]
    assert "No event is like this" in reader.page("/console/events?type=nothing.v1")
    assert reader.get("/console/events?position=7").headers["location"] == "/console/events/7"
    third = reader.get("/console/events?stream=app_state/k1&version=3")
    assert third.headers["location"] == "/console/events/5"
    for nothing in (
        "app_state/k1&version=99",
        "app_state/k1&version=0",
        "nothing/k&version=1",
        "k&version=1",
    ):
        assert reader.get(f"/console/events?stream={nothing}").status_code == 404


def test_an_event_says_what_it_changed_and_how_its_row_was(talk: HttpTalk, reader: Visitor) -> None:
    talk.command("app_state.set", {"key": "theme", "value": "light"}, headers={"Hyperpage-Actor": "ops"})
    talk.command("app_state.set", {"key": "theme", "value": HOSTILE})
    talk.command("app_state.delete", {"key": "theme"})

    first, second, third = (reader.page(f"/console/events/{position}") for position in (1, 2, 3))
    assert "<dt>By</dt><dd>ops</dd>" in first
    assert 'rel="next" href="/console/events/2"' in first
    changed = second[second.index("What it changed") : second.index("The row as of version 2")]
    assert "light" in changed
    assert "&lt;script&gt;alert(1)" in changed
    assert "<script>alert" not in second
    assert "There is none." in third[third.index("The row as of version 3") :]
    for nothing in (
        "/console/events/4",
        "/console/events/0",
        "/console/events/x",
        "/console/events/" + "9" * 30,
    ):
        assert reader.get(nothing).status_code in (400, 404)


def test_what_was_caused_stands_below_its_cause(talk: HttpTalk, reader: Visitor) -> None:
    correlated = {"Hyperpage-Correlation-Id": "import-7"}
    talk.command("app_state.set", {"key": "a", "value": 1}, headers=correlated, id="first")
    talk.command("app_state.set", {"key": "other", "value": 1})
    talk.command("app_state.set", {"key": "b", "value": 1}, headers={"Hyperpage-Causation-Id": "first"})
    talk.command("app_state.set", {"key": "c", "value": 1}, headers={"Hyperpage-Causation-Id": "1-3"})

    for page in (
        reader.page("/console/events/4"),
        reader.page("/console/events/-/chain?correlation_id=import-7"),
    ):
        assert re.findall(r'<li class="d(\d+)"', page) == ["0", "1", "2"]
        assert positions(page) == [1, 3, 4]
    assert 'aria-current="true"' in reader.page("/console/events/4")
    assert "Nothing says that it caused this" in reader.page("/console/events/2")


def test_a_tree_deeper_than_a_page_is_wide_is_shown_all_the_same() -> None:
    def event(position: int) -> dict[str, Any]:
        return {
            "sequence": str(position),
            "time": "2026-01-01T00:00:00.000Z",
            "subject": "app_state/a",
            "version": position,
            "timeline": 1,
            "hash": "",
            "type": "hyperpage.app_state.set.v1",
        }

    items = [{"cause": position - 1 or None, "event": event(position)} for position in range(1, 501)]
    tree = as_tree(items)
    assert [event.position for _, _, event in tree] == list(range(1, 501))
    assert max(depth for depth, _, _ in tree) == DEEPEST
