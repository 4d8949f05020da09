"""The sender of a request, by its subject, and the inbox that its answer goes to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.contract.senders import APP, USER_PATTERN, UserSubjects, is_user_name
from hyperpage_client.contract.subjects import BusNames

SUBJECTS = UserSubjects(BusNames())
users = st.from_regex(USER_PATTERN, fullmatch=True)
sent = st.sampled_from(
    ["hyperpage.cmd.v1.jobs.enqueue", "hyperpage.dcmd.v1.jobs.enqueue", "hyperpage.res.v1.c-1"]
)


@given(users, sent)
def test_a_subject_of_a_user_tells_who_it_is_and_what_the_user_called_it(user: str, subject: str):
    arrived = SUBJECTS.sent(user, subject)

    assert SUBJECTS.user_of(arrived) == user
    assert SUBJECTS.as_known(arrived) == subject


@given(users, users)
def test_an_answer_goes_into_the_inbox_of_its_sender_alone(user: str, other: str):
    arrived = SUBJECTS.sent(user, "hyperpage.cmd.v1.jobs.enqueue")
    sender = SUBJECTS.sender(arrived, "_INBOX.x")

    assert sender is not None
    assert (sender.user, sender.name) == (user, "jobs.enqueue")
    assert sender.reply == f"hyperpage_to.{user}._INBOX.x"
    private = SUBJECTS.sender(arrived, f"_INBOX_{other}.x")
    assert (private is not None) == (user == other)


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("$SRV.PING", "PING"),
        ("$SRV.INFO.hyperpage-persistence.x", "INFO.hyperpage-persistence.x"),
        ("$JS.API.INFO", "INFO"),
        ("$JS.API.CONSUMER.CREATE.S.c.a.b", "CONSUMER.CREATE.S.c.a.b"),
        ("hyperpage.qry.v1.jobs.get", "jobs.get"),
        ("hyperpage.adm.v1.backup.create", "backup.create"),
    ],
)
def test_what_is_asked_for_is_told(subject: str, name: str):
    sender = SUBJECTS.sender(SUBJECTS.sent("billing", subject), "_INBOX.x")

    assert sender is not None
    assert sender.name == name


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "_INBOX",
        "_INBOX_rival.x",
        "_INBOX_billingx.x",
        "hyperpage.evt.v1.jobs.1.forged",
        "hyperpage.usr.billing.res.v1.c",
        "hyperpage_to.rival._INBOX.x",
        "$JS.API.INFO",
        "$JS.ACK.HYPERPAGE_EVENTS.x.1.1.1.1.0",
        "_INBOX.".ljust(4_060, "x"),
        "_INBOX.".ljust(1_400, "\ufffd"),
    ],
)
def test_what_is_no_inbox_of_the_sender_is_not_answered(reply: str):
    assert SUBJECTS.sender("hyperpage.usr.billing.cmd.v1.jobs.enqueue", reply) is None


def test_the_longest_inbox_is_answered():
    reply = "_INBOX.".ljust(4_050, "x")

    assert SUBJECTS.sender("hyperpage.usr.billing.cmd.v1.jobs.enqueue", reply) is not None


def test_what_arrives_without_a_user_is_anybodys():
    sender = SUBJECTS.sender("hyperpage.cmd.v1.jobs.enqueue", "_INBOX.x")

    assert sender is not None
    assert (sender.user, sender.reply) == (None, "_INBOX.x")
    assert SUBJECTS.user_of("hyperpage.dcmd.v1.jobs.enqueue") == APP


def test_where_the_broker_tells_nothing_nobody_listens_to_what_says_whose_it_is():
    told = UserSubjects(BusNames(), are_told=False)

    assert told.arrivals("hyperpage.cmd.v1.>") == ("hyperpage.cmd.v1.>",)
    assert told.user_of("hyperpage.dcmd.v1.jobs.enqueue") is None


@pytest.mark.parametrize("name", ["", "a.b", "a*", ">", "A", "ä", "a b", "a\n", "x" * 65])
def test_what_is_no_token_in_lower_case_is_no_user(name: str):
    assert not is_user_name(name)
