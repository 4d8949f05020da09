"""Names of commands and queries that there are not."""

import pytest

from bus.contract.names import no_such_command, no_such_query, query_names
from domain.catalogue import COMMANDS
from ops.contract.queries import query_verbs
from tests.support.domain.credential_corpus import shaped


def test_the_names_of_queries_are_those_that_are_answered():
    assert set(query_names()) == set(query_verbs(lambda table, aggregate: None, lambda: 0))
    assert "jobs.rescue" not in COMMANDS, "it is the service's own"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("jobs.enque", "jobs.enqueue"),
        ("job.enqueue", "jobs.enqueue"),
        ("toolconfigs.sett", "tool_configs.set"),
        ("things.enqueue", "jobs.enqueue"),
    ],
)
def test_what_may_have_been_meant_is_said_with_where_it_is_described(written: str, meant: str):
    refusal = no_such_command(written)
    assert refusal.message == f"there is no command {written}"
    assert refusal.hint == f"did you mean {meant}? `hyperpage schema {meant}` says what it takes"
    assert refusal.details == {"did_you_mean": meant}


def test_a_query_that_was_sent_and_a_command_that_was_asked_are_told_their_way():
    sent, asked = no_such_command("jobs.get"), no_such_query("jobs.enqueue")
    assert "jobs.get is a query: it goes to qry.v1.jobs.get" in sent.hint
    assert "with `hyperpage query jobs.get`" in sent.hint
    assert "jobs.enqueue is a command: it goes to cmd.v1.jobs.enqueue" in asked.hint
    assert "with `hyperpage send jobs.enqueue`" in asked.hint
    assert (sent.details["kind"], asked.details["kind"]) == ("query", "command")
    assert no_such_query("jobs.enque").hint.startswith("did you mean jobs.enqueue? jobs.enqueue is a command")


def test_where_nothing_resembles_it_the_verbs_of_the_table_are_listed():
    assert "its table has set, set_if, delete, set_many;" in no_such_command("app_state.zzzz").hint
    assert no_such_command("nothing.zzzz").hint == "`hyperpage schema` lists all of them"
    assert len(no_such_query("x" * 100_000).message) < 200


def test_a_name_that_is_a_credential_is_not_repeated():
    for credential in shaped().values():
        for refusal in (no_such_command(credential), no_such_query(credential)):
            assert refusal.code == "secret_rejected"
            assert credential not in f"{refusal.message}{refusal.hint}{refusal.details}"
