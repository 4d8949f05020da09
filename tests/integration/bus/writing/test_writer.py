import gc
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from bus.contract.rights import TOKENS
from bus.log import chain
from bus.log.answers import read_answers
from bus.log.states import read_aggregate
from bus.serving.decoding import submission_of
from bus.writing import aggregates
from bus.writing.submission import Submission
from bus.writing.waiting import MAXIMUM_WAITING_BYTES, MAXIMUM_WAITING_COMMANDS
from domain.decider import Aggregate, Lease, Transition
from domain.errors import Invalid, Unavailable
from hyperpage_client.contract.headers import COMMAND_ID
from migrations.connection import open_reader
from ops.store.tables import Tables
from tests.support.clock import NOW, Clock
from tests.support.patience import wait_for
from tests.support.stores.looking_inside import read_after
from tests.support.stores.writing import Reply, Sent, Store, batch, dump_tables, single


def set_value(key: str, value: Any = 1, **headers: Any) -> Sent:
    return Sent("app_state.set", {"key": key, "value": value}, **headers)


def enqueue(job_id: str, **changes: Any) -> Sent:
    headers = {name: changes.pop(name) for name in ("id", "expected_version") if name in changes}
    return Sent("jobs.enqueue", {"id": job_id, "type": "mail", "name": "A mail"} | changes, **headers)


def claim(limit: int = 1, **headers: Any) -> Sent:
    return Sent("jobs.claim", {"worker": "worker", "limit": limit}, **headers)


def claimed_ids(reply: Any) -> list[str]:
    return [job["id"] for job in reply["result"]["jobs"]]


def types_of(store: Store) -> list[str]:
    return [row.type for row in store.rows()]


# Answers and rows


def test_an_answer_says_where_the_event_of_its_command_stands(store: Store):
    store.send("app_state.set", {"key": "other", "value": 1})
    store.send("app_state.set", {"key": "k", "value": 1})

    reply = store.send("app_state.set", {"key": "k", "value": 2}, id="c-1")

    assert reply.body == (
        b'{"command_id":"c-1","stream":"app_state/k","version":2,"position":3,"timeline":1,'
        b'"events":["app_state.set.v1"],"result":null}'
    )


def test_a_command_of_several_events_answers_with_the_last_of_them(store: Store):
    store.send("app_state.set", {"key": "b", "value": 0})

    reply = store.send("app_state.set_many", {"items": [{"key": key, "value": 1} for key in "abc"]})

    assert (reply["stream"], reply["version"], reply["position"]) == ("app_state/c", 1, 4)
    assert reply["events"] == ["app_state.set.v1"] * 3


def test_a_command_that_changes_nothing_is_accepted_without_a_place(store: Store):
    store.send("app_state.set", {"key": "k", "value": 1})

    reply = store.send("app_state.set", {"key": "k", "value": 1})

    assert reply.code is None
    assert [reply[name] for name in ("stream", "version", "position", "events")] == [None, None, None, []]
    assert len(store.rows()) == 1


def test_a_command_without_an_id_gets_one_of_its_own(store: Store):
    ids = {
        reply["command_id"] for reply in store.send_together(*(set_value(f"k{place}") for place in range(50)))
    }

    assert len(ids) == 50
    assert {row.command_id for row in store.rows()} == ids


def test_a_row_holds_the_event_its_command_and_who_caused_it(store: Store):
    store.send("app_state.set", {"key": "a/b", "value": {"x": [1.50]}}, id="c", metadata='{"actor":"me"}')

    [row] = store.rows()
    assert (row.position, row.stream, row.version, row.type) == (1, "app_state/a/b", 1, "app_state.set.v1")
    assert (row.recorded_at, row.command_id, row.metadata) == (NOW, "c", '{"actor":"me"}')
    assert row.data == '{"value":{"x":[1.5]}}'
    # The client's JSON is kept as it came; here it came without the zero.
    store.send("app_state.set", b'{"key":"k","value": {"x":1.50} }')
    assert store.rows()[1].data == '{"value":{"x":1.50}}'


def test_the_rows_of_the_tables_follow_their_events(store: Store):
    store.send("tool_configs.set", {"tool_name": "t", "config": {"a": 1}})
    store.send("app_state.set", {"key": "k", "value": None})
    store.send("app_state.set", {"key": "gone", "value": 1})
    store.send("app_state.delete", {"key": "gone"})
    store.send("rate_limits.throttle", {"platform": "p", "until": 5})

    tables = store.tables()
    assert tables["tool_configs"] == [("'t'", "1", "'{\"a\":1}'", "NULL", "1", str(NOW), "1", "1", "NULL")]
    assert tables["app_state"] == [("'k'", "'null'", str(NOW), "1", "2", "NULL")]
    assert [row[0] for row in tables["rate_limits"]] == ["'ratelimit:p'"]


def test_each_attempt_is_a_row_with_how_it_ended_and_how_long_it_took(store: Store):
    def attempt(verb: str | None, **body: Any) -> None:
        store.clock.now += 100_000
        [job] = store.send("jobs.claim", {"worker": "w"})["result"]["jobs"]
        here = {"id": "a", "lease": job["lease"]}
        store.send("jobs.progress", here | {"percent": 1})
        if verb is not None:
            store.clock.now += 7
            assert store.send(f"jobs.{verb}", here | body).code is None

    store.send_together(enqueue("a", max_attempts=2))
    attempt("snooze", run_at=0)
    attempt("interrupt")
    attempt("fail", error="x")
    attempt("fail", error="y")
    store.send("jobs.retry", {"id": "a"})
    attempt("fail", error="z")
    store.send("jobs.retry", {"id": "a"})
    attempt(None)
    store.send("jobs.cancel", {"id": "a"})

    history = store.tables()["job_history"]
    assert [(*row[1:4], *row[6:8]) for row in history] == [
        ("'a'", "1", "'snoozed'", "7", "NULL"),
        ("'a'", "1", "'interrupted'", "7", "NULL"),
        ("'a'", "1", "'failed'", "7", "'x'"),
        ("'a'", "2", "'failed'", "7", "'y'"),
        ("'a'", "3", "'failed'", "7", "'z'"),
        ("'a'", "4", "'running'", "NULL", "NULL"),
    ]
    claims = [
        (str(row.position), str(row.recorded_at)) for row in store.rows() if row.type == "job.claimed.v1"
    ]
    assert [(row[0], row[4]) for row in history] == claims
    assert [row[5] == "NULL" for row in history] == [False] * 5 + [True]
    [job] = store.tables()["jobs"]
    assert job[4] == "'running'"


def test_the_log_has_no_gap_and_its_chain_verifies(store: Store):
    for group in range(5):
        store.send_together(
            *(set_value(f"k{place}", group) for place in range(4)), Sent("app_state.delete", {"key": "none"})
        )

    assert [row.position for row in store.rows()] == list(range(1, 21))
    assert store.in_writer(chain.verify_chain) == store.writer.head


def test_another_process_may_read_the_file_meanwhile(store: Store, path: Path):
    store.send("app_state.set", {"key": "k", "value": 1})
    reader = open_reader(path)

    assert chain.read_head(reader) == store.writer.head
    reader.execute("BEGIN")
    assert len(read_after(reader, 0, limit=9)) == 1
    store.send("app_state.set", {"key": "k", "value": 2})
    assert len(read_after(reader, 0, limit=9)) == 1
    reader.execute("COMMIT")
    assert len(read_after(reader, 0, limit=9)) == 2
    reader.close()


# Groups


def test_what_waits_while_a_commit_runs_forms_one_group_with_one_time(store: Store):
    with store.held():
        answers = [store.post([single(set_value(f"k{place}"))])[0] for place in range(20)]
        store.clock.now += 5
        assert store.writer.waiting == 20
    assert [answer()["position"] for answer in answers] == list(range(1, 21))

    assert [len(commit.rows) for commit in store.commits] == [20]
    assert {row.recorded_at for row in store.rows()} == {NOW + 5}
    assert store.writer.waiting == 0


def test_each_command_of_a_group_sees_what_came_before_it(store: Store):
    replies = store.send_together(
        enqueue("a"),
        enqueue("a"),
        claim(),
        claim(),
        Sent("tool_configs.set", {"tool_name": "t", "config": {"a": 1}}),
        Sent("tool_configs.patch", {"tool_name": "t", "patch": {"b": 2}}),
        Sent("tool_configs.delete", {"tool_name": "t"}),
        Sent("tool_configs.rollback", {"tool_name": "t", "to_version": 1}),
        Sent("tool_configs.rollback", {"tool_name": "t", "to_version": 2}),
        Sent("tool_configs.rollback", {"tool_name": "t", "to_version": 3}),
    )

    assert [reply.code for reply in replies] == [
        None, "already_exists", None, None, None, None, None, None, None, "not_found",
    ]  # fmt: skip
    assert (claimed_ids(replies[2]), claimed_ids(replies[3])) == (["a"], [])
    assert store.tables()["tool_configs"][0][2] == '\'{"a":1,"b":2}\''
    assert len(store.commits) == 1


def test_two_claims_in_one_group_never_get_the_same_job(store: Store):
    store.send_together(*(enqueue(f"job-{place}") for place in range(10)))

    replies = store.send_together(*(claim(3) for _ in range(5)))

    assert [claimed_ids(reply) for reply in replies] == [
        ["job-0", "job-1", "job-2"],
        ["job-3", "job-4", "job-5"],
        ["job-6", "job-7", "job-8"],
        ["job-9"],
        [],
    ]
    leases = [job["lease"] for reply in replies for job in reply["result"]["jobs"]]
    assert len(set(leases)) == 10


def test_one_refusal_takes_back_nothing_of_its_neighbours(store: Store):
    replies = store.send_together(
        set_value("a"),
        Sent("app_state.delete", {"key": "none"}),
        Sent(
            "app_state.set_many", {"items": [{"key": "b", "value": 1}, {"key": "c", "value": "x" * 65_536}]}
        ),
        Sent("rate_limits.clear", {"platform": "p", "identifier": "i"}),
        set_value("a", 2, expected_version=7),
        Sent("app_state.set", b"nonsense"),
        set_value("d"),
    )

    assert [reply.code for reply in replies] == [
        None, "not_found", "too_large", "invalid", "version_conflict", "invalid", None,
    ]  # fmt: skip
    assert [(row.position, row.stream) for row in store.rows()] == [(1, "app_state/a"), (2, "app_state/d")]
    assert len(store.commits) == 1


def test_a_key_that_cannot_be_made_of_its_parts_is_invalid(store: Store):
    for verb, body in (("observe", {"remaining": 1}), ("throttle", {"until": 1}), ("clear", {})):
        reply = store.send(f"rate_limits.{verb}", {"platform": "p", "identifier": "i"} | body)
        assert (reply.code, reply["error"]["details"]["path"]) == ("invalid", "$.resource")


def test_times_never_decrease_when_the_clock_goes_back(path: Path):
    clock = Clock()
    with Store(path, clock) as store:
        store.send("app_state.set", {"key": "k", "value": 1})
        clock.now -= 10_000
        store.send("app_state.set", {"key": "k", "value": 2})
    with Store(path, Clock(NOW - 99_999)) as store:
        store.send("app_state.set", {"key": "k", "value": 3})
        assert [row.recorded_at for row in store.rows()] == [NOW] * 3


# Defects and limits


class Defective(Tables):
    """Tables with a defect: they cannot hold the key "poison"."""

    def write(self, connection: apsw.Connection, transitions: Iterable[Transition]) -> None:
        changes = list(transitions)
        super().write(connection, changes)
        if any(change.key == "poison" for change in changes):
            raise ZeroDivisionError

    def listed_row_json(self, table: str, aggregate: Aggregate) -> bytes | None:
        if getattr(aggregate.state, "id", "") == "unreadable":
            raise ZeroDivisionError
        return super().listed_row_json(table, aggregate)


def test_a_defect_that_one_command_meets_fails_that_command_alone(path: Path):
    with Store(path, projections=Defective()) as store:
        replies = store.send_together(
            set_value("a"), set_value("poison", id="x"), enqueue("unreadable"), claim(), set_value("b")
        )
        assert [reply.code for reply in replies] == [None, "internal", None, "internal", None]
        error = replies[1]["error"]
        assert error["details"]["incident"] in error["message"]
        assert "ZeroDivision" not in replies[1].body.decode()

        assert [row.stream for row in store.rows()] == ["app_state/a", "jobs/unreadable", "app_state/b"]
        assert store.in_writer(chain.verify_chain) == store.writer.head
        # Nothing of the failed claim remains, so the job can still be claimed.
        assert store.writer._aggregates.leases == {}
        assert store.send("app_state.set", {"key": "c", "value": 1}, id="x").code is None


@pytest.mark.parametrize("command_id", ["a\x00b", "\x00", "\udcff", "x\ud800"])
def test_a_command_id_that_no_text_can_hold_fails_its_command_alone(store: Store, command_id: str):
    for _ in range(2):
        before, refused, after = store.send_together(
            set_value("a", id="a"), set_value("b", id=command_id), set_value("c", id="c")
        )
        assert (before.code, after.code) == (None, None)
        assert refused.code is not None
    assert [row.stream for row in store.rows()] == ["app_state/a", "app_state/c"]


@pytest.mark.parametrize("command_id", ["a\x00b", "\x00", "", "x" * 129])
def test_a_command_id_that_cannot_be_looked_up_again_is_invalid(command_id: str):
    body = b'{"key":"k","value":1}'
    alone = submission_of("app_state.set", body, {COMMAND_ID: command_id}, None)
    item = {"command": "app_state.set", "id": command_id, "body": {"key": "k", "value": 1}}
    in_batch = submission_of("batch", msgspec.json.encode({"commands": [item]}), None, None)

    for one in (alone.outcome and alone.outcome.refusal, in_batch.requests[0]):
        assert isinstance(one, Invalid)
        assert one.details["path"] == COMMAND_ID


def test_too_much_waiting_is_busy_and_what_waited_is_answered(store: Store):
    malformed = Invalid("malformed", path="$")
    large = Submission(requests=[malformed], size_bytes=MAXIMUM_WAITING_BYTES - 1)
    many = Submission(requests=[malformed] * (MAXIMUM_WAITING_COMMANDS - 1), size_bytes=1, batch=True)
    with store.held():
        fits = store.post([large])
        [refused] = store.submit([Submission(requests=[malformed], size_bytes=2)])
        assert (refused.code, refused["error"]["details"]) == ("busy", {"retry_after_ms": 100})
    assert fits[0]().code == "invalid"
    with store.held():
        fits = store.post([many, single(set_value("a")), single(set_value("b"))])
        assert fits[2]().code == "busy"
        assert store.writer.waiting == MAXIMUM_WAITING_COMMANDS
    assert len(fits[0]().outcomes) == MAXIMUM_WAITING_COMMANDS - 1
    assert fits[1]().code is None
    assert store.send("app_state.set", {"key": "b", "value": 1}).code is None


def test_nothing_small_passes_by_what_there_was_no_room_for(store: Store):
    large, small = single(set_value("large")), single(set_value("small"))
    large.size_bytes = MAXIMUM_WAITING_BYTES
    with store.held():
        first = store.post([single(set_value("first"))])[0]
        assert [answer().code for answer in store.post([large, small])] == ["busy", "busy"]

    assert first().code is None
    assert store.send("app_state.delete", {"key": "small"}).code == "not_found"


def test_stopping_ends_after_all_that_waits_and_takes_nothing_more(path: Path):
    store = Store(path)
    with store.held():
        answers = [store.post([single(set_value(f"k{place}"))])[0] for place in range(2_000)]
    store.writer.stop()

    assert all(answer().code is None for answer in answers)
    late = store.send("app_state.set", {"key": "late", "value": 1})
    assert (late.code, late["error"]["details"]) == ("unavailable", {"retry_after_ms": 1_000})
    assert store.connection.execute("SELECT count(*) FROM events").get == 2_000
    store.connection.close()


def test_an_errand_is_carried_out_before_the_writer_stops_and_refused_after_it(path: Path):
    store = Store(path)
    with store.held():
        errand = store.call(lambda connection: connection.execute("SELECT count(*) FROM store").get)
    store.writer.stop()

    assert errand() == 1
    with pytest.raises(Unavailable) as refused:
        store.in_writer(lambda _: pytest.fail("nobody may carry this out"))
    assert refused.value.details == {"retry_after_ms": 1_000}
    store.connection.close()


def test_an_errand_runs_in_a_transaction_of_its_own(store: Store):
    def failing(connection: apsw.Connection) -> None:
        connection.execute("DELETE FROM store")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.in_writer(failing)
    assert store.in_writer(lambda connection: connection.execute("SELECT count(*) FROM store").get) == 1
    assert store.in_writer(lambda connection: connection.in_transaction)
    assert store.send("app_state.set", {"key": "k", "value": 1}).code is None


def test_the_statistics_count_groups_commands_and_events(store: Store):
    store.send_together(set_value("a"), set_value("b"), Sent("app_state.delete", {"key": "none"}))
    store.send_batch(set_value("a", 2), set_value("a", 2))

    statistics = store.writer.statistics
    assert (statistics.groups, statistics.commands, statistics.events) == (2, 5, 3)
    assert (statistics.failed_commits, statistics.last_failure) == (0, None)


# Command ids


def repeated(store: Store, sent: Sent) -> tuple[Reply, Reply]:
    """The answers to a command sent twice; the second time nothing may change."""
    [first] = store.send_together(sent)
    before, head, commits = store.tables(), store.writer.head, len(store.commits)
    [second] = store.send_together(sent)
    assert store.tables() == before
    assert store.writer.head == head
    assert all(commit.rows == [] for commit in store.commits[commits:])
    return first, second


@pytest.mark.parametrize(
    "sent",
    [
        enqueue("job", id="x"),
        Sent("jobs.enqueue", {"type": "mail", "name": "Without an id"}, id="x"),
        set_value("new", id="x"),
        set_value("known", id="x"),
        claim(5, id="x"),
        Sent("app_state.delete", {"key": "known"}, id="x"),
        Sent("app_state.set_many", {"items": [{"key": "b", "value": 1}]}, id="x"),
        Sent("rate_limits.observe", {"platform": "p", "remaining": 1, "data_fresh": False}, id="x"),
        set_value("k", id="é\U0001f600 '\"\\"),
    ],
)
def test_a_command_delivered_again_changes_nothing_and_gets_the_same_bytes(path: Path, sent: Sent):
    with Store(path) as store:
        store.send_together(enqueue("due"), enqueue("due-2"), set_value("known"))
        first, second = repeated(store, sent)
        assert first.code is None
        assert second.body == first.body
        store.clock.now += 10**9
    with Store(path) as store:
        assert store.send_together(sent)[0].body == first.body
        assert store.send_batch(sent).body == b'{"outcomes":[' + first.body + b"]}"


def test_an_answer_is_kept_with_the_head_of_the_log_after_its_command(store: Store):
    # A restore to an earlier position forgets later answers, also those to commands that changed nothing.
    store.send_together(set_value("a", id="first"), set_value("b"), set_value("a", id="nothing"))
    store.send_together(set_value("c"), set_value("a", id="later"), set_value("a", 2, id="last"))

    kept = store.in_writer(
        lambda connection: {one.command_id: one.position for one in read_answers(connection, 0)}
    )
    assert kept == {"first": 1, "nothing": 2, "later": 3, "last": 4}


def test_the_same_id_twice_in_one_group_is_one_command(store: Store):
    first, second = store.send_together(set_value("k", id="x"), set_value("k", id="x"))
    [third, fourth] = store.send_batch(claim(id="y"), set_value("k", id="x")).outcomes

    assert first.body == second.body
    assert msgspec.json.decode(first.body) == fourth
    assert third["events"] == []
    assert len(store.rows()) == 1


def test_an_id_that_was_used_for_something_else_is_refused(store: Store):
    store.send("app_state.set", {"key": "k", "value": 1}, id="x", expected_version=0)

    for other in (
        set_value("k", 2, id="x", expected_version=0),
        set_value("k", 1, id="x"),
        set_value("k", 1, id="x", expected_version=1),
        Sent("app_state.delete", {"key": "k"}, id="x", expected_version=0),
        enqueue("k", id="x"),
    ):
        assert store.send_together(other)[0].code == "command_id_reused"
    assert len(store.rows()) == 1


def test_a_refused_command_is_not_remembered_and_may_be_tried_again(store: Store):
    assert store.send("app_state.delete", {"key": "k"}, id="x").code == "not_found"
    store.send("app_state.set", {"key": "k", "value": 1})

    assert store.send("app_state.delete", {"key": "k"}, id="x").code is None
    assert store.send("app_state.set", {"key": "k", "value": 1}, id="x").code == "command_id_reused"


def test_heartbeats_progress_and_empty_claims_are_not_remembered(store: Store):
    assert claimed_ids(store.send("jobs.claim", {"worker": "w"}, id="x")) == []
    store.send_together(enqueue("a"))
    [job] = store.send("jobs.claim", {"worker": "w"}, id="x")["result"]["jobs"]
    here = {"id": "a", "lease": job["lease"]}

    first = store.send("jobs.heartbeat", here, id="y")["result"]["lease_expires_at"]
    store.clock.now += 1_000
    assert store.send("jobs.heartbeat", here, id="y")["result"]["lease_expires_at"] == first + 1_000
    assert store.send("jobs.progress", here | {"percent": 1}, id="y")["events"] == ["job.progressed.v1"]
    assert store.send("jobs.progress", here | {"percent": 2}, id="y")["events"] == []
    assert store.send("jobs.complete", here, id="y")["events"] == ["job.completed.v1"]
    assert claimed_ids(store.send("jobs.claim", {"worker": "w"}, id="x")) == ["a"]


# Expected versions


def test_a_command_may_expect_the_version_that_its_stream_is_at(store: Store):
    assert store.send("app_state.set", {"key": "k", "value": 1}, expected_version=0).code is None
    assert store.send("app_state.set", {"key": "k", "value": 2}, expected_version=1).code is None
    for expected in (0, 1, 3, 10**17):
        reply = store.send("app_state.set", {"key": "k", "value": 3}, expected_version=expected)
        assert reply.code == "version_conflict"
        assert reply["error"]["details"] == {"expected_version": expected, "actual_version": 2}


def test_a_deleted_key_may_be_expected_not_to_exist_or_at_its_version(store: Store):
    store.send_together(set_value("k"), Sent("app_state.delete", {"key": "k"}))

    assert (
        store.send("app_state.set", {"key": "k", "value": 1}, expected_version=1).code == "version_conflict"
    )
    assert store.send("app_state.set", {"key": "k", "value": 1}, expected_version=0)["version"] == 3
    store.send("app_state.delete", {"key": "k"})
    assert store.send("app_state.set", {"key": "k", "value": 1}, expected_version=4)["version"] == 5


def test_a_command_that_spans_streams_has_no_version_to_expect(store: Store):
    store.send_together(enqueue("a"))

    for sent in (claim(expected_version=0), Sent("app_state.set_many", {"items": [{"key": "k", "value": 1}]},
                                                 expected_version=0)):  # fmt: skip
        assert store.send_together(sent)[0].code == "invalid"
    assert len(store.rows()) == 1


# Batches


def test_a_batch_answers_each_of_its_commands_in_order(store: Store):
    reply = store.send_batch(
        set_value("a", id="x"),
        Sent("app_state.delete", {"key": "none"}),
        Sent("app_state.set", {"key": "a"}),
        set_value("b"),
    )

    first, second, third, fourth = reply.outcomes
    assert (first["command_id"], first["position"]) == ("x", 1)
    assert second["error"]["code"] == "not_found"
    assert third["error"]["code"] == "invalid"
    assert fourth["position"] == 2


def test_an_atomic_batch_is_all_or_nothing(store: Store):
    store.send_together(enqueue("kept"), set_value("kept"))
    before, head = store.tables(), store.writer.head

    reply = store.send_batch(
        enqueue("a", priority=4),
        claim(5, id="x"),
        Sent("app_state.delete", {"key": "kept"}, id="y"),
        Sent("rate_limits.throttle", {"platform": "p", "until": 1}),
        Sent("app_state.delete", {"key": "kept"}),
        set_value("never"),
        atomic=True,
    )

    assert (reply.code, reply["error"]["details"]) == ("not_found", {"index": 4})
    assert (store.tables(), store.writer.head) == (before, head)
    assert store.writer._aggregates.leases == {}
    # The refused batch has used up neither its ids nor its jobs.
    again = store.send_batch(claim(5, id="x"), Sent("app_state.delete", {"key": "kept"}, id="y"), atomic=True)
    assert claimed_ids(again.outcomes[0]) == ["kept"]
    assert [one["position"] for one in again.outcomes] == [3, 4]


def test_a_malformed_command_fails_an_atomic_batch(store: Store):
    reply = store.send_batch(set_value("a"), Sent("app_state.set", {"key": "a"}), atomic=True)

    assert (reply.code, reply["error"]["details"]["index"]) == ("invalid", 1)
    assert store.rows() == []


def test_a_failed_atomic_batch_leaves_its_neighbours_alone(store: Store):
    doomed = batch(
        enqueue("a", id="x"),
        set_value("k", 2),
        Sent("app_state.delete", {"key": "none"}),
        atomic=True,
    )
    first, failed, last = store.submit([single(set_value("k")), doomed, single(enqueue("b", id="x"))])

    assert (first.code, failed.code, last.code) == (None, "not_found", None)
    assert [(row.position, row.stream, row.version) for row in store.rows()] == [
        (1, "app_state/k", 1),
        (2, "jobs/b", 1),
    ]
    assert claimed_ids(store.send("jobs.claim", {"worker": "w", "limit": 9})) == ["b"]


def test_jobs_that_stand_where_one_was_taken_back_are_told_apart(store: Store):
    store.send_together(enqueue("kept"), enqueue("kept-2"))
    nowhere = Sent("app_state.delete", {"key": "none"})
    gone = [batch(enqueue(f"gone-{attempt}"), nowhere, atomic=True) for attempt in range(6)]

    assert [reply.code for reply in store.submit([*gone, single(enqueue("stays"))])] == ["not_found"] * 6 + [
        None
    ]
    assert claimed_ids(store.send("jobs.claim", {"worker": "w", "limit": 9})) == ["kept", "kept-2", "stays"]


def test_notices_of_a_failed_atomic_batch_are_not_told(store: Store):
    store.send_together(enqueue("a"))
    [job] = store.send("jobs.claim", {"worker": "w"})["result"]["jobs"]
    progress = Sent("jobs.progress", {"id": "a", "lease": job["lease"], "percent": 1})

    store.send_batch(progress, Sent("app_state.delete", {"key": "none"}), atomic=True)
    store.send_batch(progress, Sent("app_state.delete", {"key": "none"}))

    assert [len(commit.notices) for commit in store.commits[-2:]] == [0, 1]


def test_notices_of_a_command_that_is_refused_for_the_size_of_its_answer_are_not_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    store.send_together(enqueue("a"))
    [job] = store.send("jobs.claim", {"worker": "w"})["result"]["jobs"]
    progress = {"id": "a", "lease": job["lease"], "percent": 1}
    store.send("jobs.progress", progress)
    # The limit is one of aggregates that others have written. A second progress makes a notice and no event.
    monkeypatch.setattr("bus.writing.group.OTHERS", {"jobs"})
    monkeypatch.setattr("bus.writing.group.MAXIMUM_ANSWER_BYTES", 1)

    refused = store.send("jobs.progress", progress | {"percent": 2})

    assert (refused.code, store.commits[-1].notices) == ("too_large", [])


def test_how_long_a_commit_takes_is_known_also_of_leases_alone(store: Store):
    store.send_together(enqueue("a"))
    [job] = store.send("jobs.claim", {"worker": "w"})["result"]["jobs"]
    before = store.writer.statistics.commit_durations.sum

    store.send("jobs.heartbeat", {"id": "a", "lease": job["lease"]})

    assert store.writer.statistics.commit_durations.sum > before


# Size


def test_what_a_claim_answers_fits_into_a_message_whatever_the_jobs_hold(store: Store):
    text = "\x01" * 200
    for start in range(0, 200, 50):
        store.send_together(
            *(
                enqueue(f"{start + place:03}".ljust(200, "x"), type=text, name=text, tool=text,
                        endpoint=text * 5, queue="q" * 200)
                for place in range(50)
            )
        )  # fmt: skip
    sent = Sent("jobs.claim", {"worker": text, "queue": "q" * 200, "limit": 100})

    [single_reply] = store.send_together(sent)
    batch_reply = store.send_batch(*(sent for _ in range(50)))

    assert 50 < len(single_reply["result"]["jobs"]) < 100
    assert len(single_reply.body) < 1_000_000
    assert len(batch_reply.body) < 1_000_000
    claimed = [job["id"] for one in batch_reply.outcomes for job in one["result"]["jobs"]]
    assert len(claimed) == len(set(claimed)) > 20


def test_the_answer_to_a_batch_fits_into_a_message_however_much_is_refused(store: Store):
    key = "k" * 200
    sent = [set_value(key, 1, expected_version=10**17) for _ in range(1_000)]
    store.send_together(set_value(key))

    assert len(store.send_batch(*sent).body) < 1_000_000


# Leases


def test_a_job_whose_lease_has_run_out_is_rescued_and_is_due_again(store: Store):
    store.send_together(enqueue("a"))
    [job] = store.send("jobs.claim", {"worker": "w", "lease_ms": 1_000})["result"]["jobs"]
    store.clock.now += 1_000

    wait_for(lambda: "job.rescued.v1" in types_of(store))
    assert store.send("jobs.complete", {"id": "a", "lease": job["lease"]}).code == "refused"
    store.clock.now += 10_000
    assert claimed_ids(store.send("jobs.claim", {"worker": "w"})) == ["a"]
    assert [row[3] for row in store.tables()["job_history"]] == ["'rescued'", "'running'"]


def test_a_lease_that_is_extended_in_time_is_not_rescued(store: Store):
    store.send_together(enqueue("a"), enqueue("b"))
    jobs = store.send("jobs.claim", {"worker": "w", "limit": 2})["result"]["jobs"]
    leases = {job["id"]: job["lease"] for job in jobs}
    store.clock.now += 20_000
    store.send("jobs.heartbeat", {"id": "a", "lease": leases["a"]})
    store.clock.now += 20_000

    wait_for(lambda: "job.rescued.v1" in types_of(store))
    assert store.send("jobs.complete", {"id": "a", "lease": leases["a"]}).code is None
    assert [row.stream for row in store.rows() if row.type == "job.rescued.v1"] == ["jobs/b"]


def test_after_a_restart_a_lease_holds_and_gets_its_full_length_once_more(path: Path):
    clock = Clock()
    with Store(path, clock) as store:
        store.send_together(enqueue("a"), enqueue("b"))
        [job] = store.send("jobs.claim", {"worker": "w", "lease_ms": 5_000})["result"]["jobs"]
    clock.now += 3_600_000
    with Store(path, clock) as store:
        lease = store.writer._aggregates.leases["a"]
        assert (lease.token, lease.expires_at) == (job["lease"], clock.now + 5_000)
        assert store.send("jobs.heartbeat", {"id": "a", "lease": job["lease"]}).code is None
        assert claimed_ids(store.send("jobs.claim", {"worker": "w", "limit": 5})) == ["b"]
        assert store.send("jobs.complete", {"id": "a", "lease": job["lease"]}).code is None


def test_a_running_job_whose_lease_is_lost_is_rescued(path: Path):
    with Store(path) as store:
        store.send_together(enqueue("a"))
        store.send("jobs.claim", {"worker": "w"})
        store.in_writer(lambda connection: connection.execute("DELETE FROM job_leases"))
    with Store(path) as store:
        wait_for(lambda: "job.rescued.v1" in types_of(store))


def leases_on_disk(connection: apsw.Connection) -> dict[str, Lease]:
    return {
        row[0]: Lease(job_id=row[0], token=row[1], worker=row[2], lease_ms=row[3], expires_at=row[4])
        for row in connection.execute("SELECT * FROM job_leases")
    }


def test_leases_are_kept_and_ended_with_the_commands_that_do_so(store: Store):
    store.send_together(*(enqueue(f"job-{place}") for place in range(4)))
    jobs = store.send("jobs.claim", {"worker": "w", "limit": 4})["result"]["jobs"]
    assert store.in_writer(leases_on_disk) == store.writer._aggregates.leases
    assert len(jobs) == 4

    here = [{"id": job["id"], "lease": job["lease"]} for job in jobs]
    store.send_together(
        Sent("jobs.complete", here[0]),
        Sent("jobs.heartbeat", here[1] | {"lease_ms": 9_000}),
        Sent("jobs.fail", here[2] | {"error": "x"}),
    )
    assert store.in_writer(leases_on_disk) == store.writer._aggregates.leases
    assert set(store.writer._aggregates.leases) == {"job-1", "job-3"}


# States


def test_what_was_forgotten_is_read_from_the_log_again(path: Path):
    with Store(path, cache_capacity=0) as store:
        for value in range(250):
            store.send("app_state.set", {"key": "k", "value": value})
        reply = store.send("app_state.set_if", {"key": "k", "value": "x", "expected_version": 250})
        assert reply["version"] == 251
        kept = store.in_writer(lambda connection: list(connection.execute("SELECT version FROM snapshots")))
        assert kept == [(100,), (200,)]


def test_a_kept_state_of_another_shape_is_passed_over(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(aggregates, "SNAPSHOT_INTERVAL", 2)
    with Store(path, cache_capacity=0) as store:
        for value in range(5):
            store.send("app_state.set", {"key": "k", "value": value})
        expected = store.in_writer(lambda connection: read_aggregate(connection, "app_state", "k"))
        store.in_writer(
            lambda connection: connection.execute("UPDATE snapshots SET shape = 'older', state = 'nonsense'")
        )
        assert store.in_writer(lambda connection: read_aggregate(connection, "app_state", "k")) == expected
        assert store.send("app_state.set", {"key": "k", "value": 9})["version"] == 6


@pytest.mark.parametrize("result", [b"null", b"1", b'{"a":null}', b"[]", None])
def test_a_kept_state_is_the_one_that_the_events_give(
    path: Path, monkeypatch: pytest.MonkeyPatch, result: bytes | None
):
    monkeypatch.setattr(aggregates, "SNAPSHOT_INTERVAL", 1)
    with Store(path) as store:
        store.send_together(enqueue("a", payload={"x": [1]}, tool="t"))
        [job] = store.send("jobs.claim", {"worker": "w"})["result"]["jobs"]
        here = msgspec.json.encode({"id": "a", "lease": job["lease"]})[:-1]
        store.send("jobs.progress", here + b',"percent":50}')
        store.send("jobs.complete", here + (b"}" if result is None else b',"result":' + result + b"}"))

        hot = store.writer._aggregates.get("jobs", "a")
        column = None if result in (None, b"null") else result.decode()
        assert store.in_writer(lambda connection: connection.execute("SELECT result FROM jobs").get) == column
        assert store.in_writer(lambda connection: read_aggregate(connection, "jobs", "a")) == hot
        store.in_writer(lambda connection: connection.execute("DELETE FROM snapshots"))
        assert store.in_writer(lambda connection: read_aggregate(connection, "jobs", "a")) == hot


def test_a_kept_value_does_not_keep_all_of_the_message_that_it_came_in(store: Store):
    # Otherwise many small values would keep as many large messages in memory.
    body = msgspec.json.encode({"items": [{"key": "k", "value": 1}, {"key": "l", "value": "y" * 60_000}]})
    before = sys.getrefcount(body)

    store.send("app_state.set_many", body)
    store.commits.clear()
    store.send("app_state.set", {"key": "last", "value": 1})

    gc.collect()
    assert sys.getrefcount(body) == before


# Restart


def test_after_a_restart_everything_goes_on_where_it_stood(path: Path):
    clock = Clock()
    with Store(path, clock) as store:
        store.send_together(
            enqueue("low", priority=1), enqueue("high", priority=4), enqueue("later", run_at=NOW + 60_000)
        )
        store.send("app_state.set", {"key": "k", "value": 1})
        head, tables = store.writer.head, store.tables()
    with Store(path, clock) as store:
        assert (store.writer.head, store.tables()) == (head, tables)
        assert store.send("app_state.set", {"key": "k", "value": 2}, expected_version=1)["position"] == 5
        assert claimed_ids(store.send("jobs.claim", {"worker": "w", "limit": 9})) == ["high", "low"]
        clock.now += 60_000
        assert claimed_ids(store.send("jobs.claim", {"worker": "w", "limit": 9})) == ["later"]
        assert store.in_writer(chain.verify_chain) == store.writer.head


def test_the_tables_are_the_same_when_they_are_read_by_another_connection(store: Store, path: Path):
    store.send_together(enqueue("a"), claim(), set_value("k"))
    reader = open_reader(path)

    assert dump_tables(reader) == store.tables()
    reader.close()


def test_what_a_token_was_answered_when_ids_were_everybodys_it_is_answered_still(tmp_path: Path):
    file = tmp_path / "hyperpage.db"
    mine, others = (f'{{"principal":"{name}"}}' for name in ("nightly", "eve"))
    with Store(file) as store:
        before = store.submit([single(Sent("app_state.set", {"key": "k", "value": 1}, "1", None, mine))])
        store.submit([single(Sent("app_state.set", {"key": "k", "value": 2}, "2", None, others))])
    with Store(file) as store:

        def asked(command_id: str, value: int, owner: str | None) -> Reply:
            sent = Sent("app_state.set", {"key": "k", "value": value}, command_id, None, mine, owner)
            return store.submit([single(sent)])[0]

        again = asked("1", 1, f"{TOKENS}nightly")
        by_another = asked("2", 1, f"{TOKENS}nightly")
        by_app = asked("1", 1, None)
        reused = asked("1", 7, f"{TOKENS}nightly")
        mine_again = asked("2", 1, f"{TOKENS}nightly")

    assert again.body == by_app.body == before[0].body
    assert by_another["version"] == 3, "it is another command"
    assert mine_again.body == by_another.body
    assert reused.code == "command_id_reused"
