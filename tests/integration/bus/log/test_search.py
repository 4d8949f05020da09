"""The log read backwards, and what caused what, over a real store."""

from typing import Any

import msgspec
import pytest

from bus.log import search
from domain.errors import Invalid, NotFound
from domain.messages import Metadata
from migrations.connection import open_reader
from tests.support.documents.reference_examples import ask
from tests.support.stores.writing import Store


def said(store: Store, name: str, **query: Any) -> Any:
    return msgspec.json.decode(ask(store, name, query))


def put(store: Store, key: str, *, id: str | None = None, **about: str) -> int:  # noqa: A002 - the contract's word
    metadata = msgspec.json.encode(Metadata(**about)).decode() if about else None
    reply = store.send("app_state.set", {"key": key, "value": 1}, id=id, metadata=metadata)
    assert reply.code is None, reply.said
    return int(reply["position"])


def positions(answer: Any) -> list[int]:
    return [int(item["sequence"]) for item in answer["items"]]


def causes(answer: Any) -> dict[int, int | None]:
    return {int(item["event"]["sequence"]): item["cause"] for item in answer["items"]}


def test_pages_backwards_reach_every_event_once(unattended: Store):
    for number in range(7):
        put(unattended, f"k{number}")

    pages, before = [], None
    while True:
        page = said(unattended, "events.find", limit=3, **({} if before is None else {"before": before}))
        pages.append(positions(page))
        if (before := page["next"]) is None:
            break

    assert pages == [[7, 6, 5], [4, 3, 2], [1]]
    assert page["head"] == 7


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"stream": "app_state/a"}, [5, 3, 1]),
        ({"stream": "app_state/a", "before": 5}, [3, 1]),
        ({"table": "tool_configs"}, [4]),
        ({"type": "tool_config.set.v1"}, [4]),
        ({"correlation_id": "order-7"}, [5, 2]),
        ({"correlation_id": "order-7", "stream": "app_state/b"}, [2]),
        ({"correlation_id": "nobody's"}, []),
        ({"stream": "app_state/*"}, []),
    ],
)
def test_events_are_found_by_what_they_are(unattended: Store, query: dict[str, Any], found: list[int]):
    put(unattended, "a")
    put(unattended, "b", correlation_id="order-7")
    unattended.send("app_state.set", {"key": "a", "value": 2})
    unattended.send("tool_configs.set", {"tool_name": "a", "config": {}})
    unattended.send("app_state.delete", {"key": "a"}, metadata='{"correlation_id":"order-7"}')

    assert positions(said(unattended, "events.find", **query)) == found


def test_a_search_for_what_is_rare_looks_at_a_bounded_part_of_the_log_at_a_time(
    unattended: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(search, "MAXIMUM_SCANNED_ROWS", 4)
    unattended.send("tool_configs.set", {"tool_name": "a", "config": {}})
    for number in range(6):
        put(unattended, f"k{number}")

    first = said(unattended, "events.find", table="tool_configs")
    assert (positions(first), first["next"]) == ([], 4)
    second = said(unattended, "events.find", table="tool_configs", before=first["next"])
    assert (positions(second), second["next"]) == ([1], None)


@pytest.mark.parametrize("column", ["correlation_id", "causation_id"])
def test_events_that_name_others_are_found_through_an_index(unattended: Store, column: str):
    connection = open_reader(unattended.path)
    plan = connection.execute(
        "EXPLAIN QUERY PLAN SELECT position FROM events"
        f" WHERE json_valid(metadata) AND metadata ->> '$.{column}' = ?"
        " AND position < ? ORDER BY position DESC LIMIT 9",
        ("x", 9),
    ).fetchall()
    connection.close()

    [(*_, step)] = plan
    assert f"idx_events_{column} (<expr>=? AND rowid<?)" in str(step)


def test_a_chain_is_the_same_from_wherever_it_is_looked_at(unattended: Store):
    # A command without a correlation id, one that names it as its cause, and one that names that one's event.
    first = put(unattended, "order", id="place-order")
    unrelated = put(unattended, "other", id="other")
    second = put(unattended, "payment", id="pay", causation_id="place-order", correlation_id="place-order")
    third = put(unattended, "parcel", causation_id=f"1-{second}")
    # Correlated, but with a cause that is not in the log.
    fourth = put(unattended, "letter", causation_id="lost", correlation_id="place-order")

    expected = {first: None, second: first, third: second, fourth: None}
    for position in (first, second, third, fourth):
        answer = said(unattended, "events.chain", position=position)
        assert causes(answer) == expected
        assert answer["complete"]
    assert causes(said(unattended, "events.chain", correlation_id="place-order")) == expected
    assert causes(said(unattended, "events.chain", position=unrelated)) == {unrelated: None}


def test_all_events_of_a_command_are_in_its_chain_and_effects_follow_from_the_last(unattended: Store):
    put(unattended, "before")
    items = [{"key": f"k{number}", "value": 1} for number in range(5)]
    unattended.send("app_state.set_many", {"items": items}, id="many")
    effect = put(unattended, "effect", causation_id="many")

    assert causes(said(unattended, "events.chain", position=4)) == {
        2: None, 3: None, 4: None, 5: None, 6: None, effect: 6,
    }  # fmt: skip


def test_users_who_gave_their_commands_the_same_id_are_all_in_its_chain(unattended: Store):
    commands = [
        unattended.send("app_state.set", {"key": owner, "value": 1}, id="order-7", owner=owner)
        for owner in ("billing", "eve")
    ]
    put(unattended, "other", id="order-77")

    answer = said(unattended, "events.chain", correlation_id="order-7")

    assert [one.code for one in commands] == [None, None]
    assert causes(answer) == {1: None, 2: None}


def test_who_names_itself_or_the_future_as_its_cause_has_none(unattended: Store):
    itself = put(unattended, "a", id="a", causation_id="a")
    early = put(unattended, "b", causation_id=f"1-{itself + 2}")
    late = put(unattended, "c", causation_id=f"1-{early}")

    assert causes(said(unattended, "events.chain", position=itself)) == {itself: None}
    assert causes(said(unattended, "events.chain", position=late)) == {early: None, late: early}


def test_a_chain_that_is_too_long_is_cut_and_says_so(unattended: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(search, "MAXIMUM_CHAIN", 5)
    for number in range(9):
        put(unattended, f"k{number}", correlation_id="long")

    answer = said(unattended, "events.chain", correlation_id="long")

    assert len(answer["items"]) == 5
    assert not answer["complete"]


def test_a_chain_begins_somewhere(unattended: Store):
    with pytest.raises(NotFound):
        said(unattended, "events.chain", position=1)
    for query in ({}, {"position": 1, "correlation_id": "x"}):
        with pytest.raises(Invalid):
            said(unattended, "events.chain", **query)
    with pytest.raises(Invalid):
        said(unattended, "events.find", table="jobs", stream="jobs/a")


def test_the_chain_of_an_id_that_no_command_can_have_is_empty(unattended: Store):
    put(unattended, "a")

    assert said(unattended, "events.chain", correlation_id="\0")["items"] == []
