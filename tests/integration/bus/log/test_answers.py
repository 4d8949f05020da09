"""Remembered answers: told again from the log, to the byte, however their ids are found."""

from pathlib import Path

import apsw
import pytest

from bus.contract.codec import OWNED_BY
from bus.log import answers
from bus.log.answers import Answer, Answers, LostAnswerError, index_ids, positions_of, read_answers, take_over
from tests.support.stores.writing import Sent, Store

PLAIN = "5f0c9a4e-8d5b-4c86-a20b-3a9a24e9f8f1"


def set_value(key: str, command_id: str, owner: str | None = None) -> Sent:
    return Sent("app_state.set", {"key": key, "value": 1}, command_id, owner=owner)


def stored(store: Store) -> list[tuple[object, ...]]:
    """The table's row of each answer: command id, answer, number of events that it is told from."""
    return store.in_writer(
        lambda connection: connection.execute(
            "SELECT command_id, answer, events FROM command_answers ORDER BY number"
        ).fetchall()
    )


def test_an_answer_is_told_again_from_the_log_byte_for_byte(tmp_path: Path):
    with Store(tmp_path / "hyperpage.db") as store:
        [reply] = store.send_together(set_value("k", PLAIN))
        expected = (
            f'{{"command_id":"{PLAIN}","stream":"app_state/k","version":1,"position":1,"timeline":1,'
            '"events":["app_state.set.v1"],"result":null}'
        )
        assert reply.body.decode() == expected
        assert stored(store) == [(None, None, 1)]

    with Store(tmp_path / "hyperpage.db") as store:
        assert store.send_together(set_value("k", PLAIN))[0].body.decode() == expected
        assert store.writer.head.position == 1


def test_what_the_log_does_not_say_is_kept_whole(tmp_path: Path):
    with Store(tmp_path / "hyperpage.db") as store:
        # A result, no event, and an id that JSON writes in another way.
        enqueue = {"id": "j", "type": "t", "name": "n"}
        sent = [
            Sent("jobs.enqueue", enqueue, "first"),
            Sent("jobs.claim", {"worker": "w"}, "claim"),
            Sent("app_state.set_many", {"items": []}, "nothing"),
            set_value("k", 'with "quotes" and \\'),
            set_value("l", "größer"),
        ]
        replies = store.send_together(*sent)
        accepted = [reply for reply in replies if reply.code is None]
        kept = [(command_id, answer) for command_id, answer, _ in stored(store)]
        told = [(one.said["command_id"], one.body.decode()) for one in accepted]
        assert kept == [(None, None), *told[1:]]
        assert len(told) >= 4

    with Store(tmp_path / "hyperpage.db") as store:
        assert store.send_together(*sent)[: len(replies)] == replies


def test_the_same_id_of_several_users_is_several_answers(tmp_path: Path):
    sent = [set_value("a", "x"), set_value("b", "x", "billing"), set_value("c", "x", "mail")]
    with Store(tmp_path / "hyperpage.db") as store:
        replies = store.send_together(*sent)
        assert [reply["stream"] for reply in replies] == ["app_state/a", "app_state/b", "app_state/c"]
        owned = [f"x{OWNED_BY}billing", f"x{OWNED_BY}mail"]
        assert stored(store) == [(None, None, 1), *((one, None, 1) for one in owned)]
        assert store.in_writer(lambda connection: positions_of(connection, "x", 10)) == [1, 2, 3]
        assert store.in_writer(lambda connection: positions_of(connection, "\0", 10)) == []
        store.in_writer(index_ids)
        assert store.in_writer(lambda connection: positions_of(connection, "x", 10)) == [1, 2, 3]

    with Store(tmp_path / "hyperpage.db") as store:
        assert store.send_together(*sent) == replies


def test_ids_with_the_same_hash_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(answers, "id_hash", lambda _: -(2**63))
    monkeypatch.setattr(answers, "WAITING_IDS", 1)
    monkeypatch.setattr(answers, "STRIDE", 1)
    sent = [set_value(key, key) for key in "abcdef"]
    with Store(tmp_path / "hyperpage.db") as store:
        replies = [store.send_together(one)[0] for one in sent]
        assert store.send_together(*sent) == replies
        assert store.writer.head.position == 6
    with Store(tmp_path / "hyperpage.db") as store:
        assert store.send_together(*sent) == replies


def test_ids_go_over_many_at_a_time_and_are_found_wherever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(answers, "WAITING_IDS", 20)
    monkeypatch.setattr(answers, "STRIDE", 5)
    sent, replies, made = [set_value(f"k{number}", f"c{number}") for number in range(200)], [], 0
    for start in range(0, 200, 40):
        with Store(tmp_path / "hyperpage.db") as store:
            for one in sent[start : start + 40]:
                replies += store.send_together(one)
                assert store.send_together(one) == replies[-1:]
            assert store.send_together(*sent[: start + 40]) == replies
            counts = store.in_writer(
                lambda connection: connection.execute(
                    "SELECT (SELECT count(*) FROM waiting_ids), (SELECT count(*) FROM command_ids),"
                    " (SELECT up_to FROM command_ids_made)"
                ).fetchone()
            )
            waiting, indexed, made = counts
            assert indexed > start
            assert 20 <= waiting <= 25
            assert made <= indexed
    assert made > 100


def test_an_answer_without_its_events_is_an_error_and_no_new_command(tmp_path: Path):
    with Store(tmp_path / "hyperpage.db") as store:
        store.send_together(set_value("k", PLAIN))
        store.in_writer(lambda connection: connection.execute("UPDATE command_answers SET position = 7"))
        assert store.send_together(set_value("k", PLAIN))[0].code == "internal"
        with pytest.raises(LostAnswerError):
            store.in_writer(lambda connection: read_answers(connection, 0))


def test_answers_that_are_taken_over_are_those_that_were_given(tmp_path: Path):
    sent = [set_value("a", "told"), set_value("b", "ü"), set_value("c", "x", "billing")]
    with Store(tmp_path / "hyperpage.db") as store:
        store.send_together(*sent)
        whole = store.in_writer(lambda connection: read_answers(connection, 0))

        def again(connection: apsw.Connection) -> dict[str, Answer]:
            connection.execute("DELETE FROM command_answers; DELETE FROM command_ids")
            foreign = Answer("foreign", bytes(32), 2, "no JSON")
            take_over(connection, [*whole, foreign])
            take_over(connection, [*whole, foreign._replace(answer="another")])
            take_over(connection, [])
            assert read_answers(connection, 0) == [*whole, foreign]
            return Answers(connection).recall(["told", f"x{OWNED_BY}billing", "never"])

        assert store.in_writer(again) == {one.command_id: one for one in (whole[0], whole[2])}
        assert stored(store)[::3] == [(None, None, 1), ("foreign", "no JSON", 0)]


def test_no_more_ids_wait_however_many_come_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(answers, "WAITING_IDS", 4)
    monkeypatch.setattr(answers, "STRIDE", 2)
    with Store(tmp_path / "hyperpage.db") as store:
        for group in range(3):
            sent = [
                Sent("app_state.set", {"key": f"k{number}", "value": group}, id=f"{group}-{number}")
                for number in range(20)
            ]
            replies = store.send_together(*sent)
            assert store.in_writer(lambda one: one.execute("SELECT count(*) FROM waiting_ids").get) < 6
            assert [again.body for again in store.send_together(*sent)] == [one.body for one in replies]
