import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.catalogue import DECIDERS
from domain.messages import KEY_PATTERN, split_stream, stream_name
from hyperpage_client.contract.subjects import ADMIN_INBOX, BusNames, change_of, escape, is_pattern, unescape

texts = st.text(st.characters(exclude_categories=["Cs"]))
keys = st.from_regex(re.compile(KEY_PATTERN, re.ASCII), fullmatch=True)


@given(texts)
def test_an_escaped_text_is_one_token_from_which_the_text_comes_back(text: str):
    token = escape(text)

    assert re.fullmatch(r"(?:[A-Za-z0-9_-]|=[0-9A-F]{2})*", token)
    # No key is empty, and no token.
    assert unescape(token) == (text or None)


@pytest.mark.parametrize(
    "token",
    ["", "a.b", "*", ">", "a*", "=", "=2", "=2f", "=GG", "a b", "é", "=FF", "=C3", "=C3=28", "=ED=A0=80"],
)
def test_what_no_key_was_made_into_is_no_token(token: str):
    assert unescape(token) is None


@pytest.mark.parametrize(
    "pattern", ["a", "a.b", "*", ">", "a.>", "a.*.c", "*.>", "$KV.bucket.a=2Fb", "x" * 2_000]
)
def test_a_subject_with_wildcards_is_a_pattern(pattern: str):
    assert is_pattern(pattern)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a.>.b",
        ">.a",
        "a*",
        "a.b>",
        "a b",
        "a\tb",
        "a\r\nb",
        "a\0",
        "é",
        "x" * 2_001,
    ],
)
def test_anything_else_is_none(text: str):
    assert not is_pattern(text)


@given(texts, texts)
def test_two_texts_never_become_one_token(one: str, other: str):
    assert (escape(one) == escape(other)) == (one == other)


@given(st.text("abcXYZ019_-"))
def test_a_text_of_plain_characters_is_its_own_token(text: str):
    assert escape(text) == text


@given(keys)
def test_a_key_is_a_token_of_at_most_three_times_its_length(key: str):
    assert 1 <= len(escape(key)) <= 600


@pytest.mark.parametrize(
    ("key", "token"),
    [
        ("9f1c", "9f1c"),
        ("a.b", "a=2Eb"),
        ("a=2Eb", "a=3D2Eb"),
        ("a/b:c@d+e", "a=2Fb=3Ac=40d=2Be"),
        ("*", "=2A"),
        (">", "=3E"),
        (" ", "=20"),
        ("é€😀", "=C3=A9=E2=82=AC=F0=9F=98=80"),
        ("\x00\r\n", "=00=0D=0A"),
        ("", ""),
    ],
)
def test_each_other_byte_is_written_in_hexadecimal(key: str, token: str):
    assert escape(key) == token
    assert unescape(token) == (key or None)


@given(keys, st.sampled_from(["jobs", "rate_limits", "tool_configs", "app_state"]))
def test_a_streams_name_falls_into_table_and_key_again(key: str, table: str):
    assert split_stream(stream_name(table, key)) == (table, key)


@given(keys)
def test_an_events_subject_has_six_tokens_and_tells_table_key_and_change(key: str):
    subject = BusNames().event(f"jobs/{key}", "job.completed.v1")

    assert subject.split(".")[:3] == ["hyperpage", "evt", "v1"]
    table, token, change = subject.split(".")[3:]
    assert (table, unescape(token), change) == ("jobs", key, "completed")


def test_every_event_type_has_a_change_of_one_plain_token():
    changes = [change_of(name) for decider in DECIDERS for name in decider.events]

    assert all(re.fullmatch(r"[a-z_]+", change) for change in changes)


def test_each_kind_of_subject_is_spelled_as_the_contract_says():
    names = BusNames()

    assert names.command("jobs.enqueue") == "hyperpage.cmd.v1.jobs.enqueue"
    assert names.command("batch") == "hyperpage.cmd.v1.batch"
    assert names.durable_command("jobs.enqueue") == "hyperpage.dcmd.v1.jobs.enqueue"
    assert names.result("a.b") == "hyperpage.res.v1.a=2Eb"
    assert names.query("jobs.get") == "hyperpage.qry.v1.jobs.get"
    assert names.event("jobs/9f1c", "job.completed.v1") == "hyperpage.evt.v1.jobs.9f1c.completed"
    assert names.events_of() == "hyperpage.evt.v1.>"
    assert names.events_of("jobs") == "hyperpage.evt.v1.jobs.>"
    assert names.notice("jobs", "a.b", "progress") == "hyperpage.sys.v1.jobs.a=2Eb.progress"
    assert names.administration("backup.create") == "hyperpage.adm.v1.backup.create"
    assert names.dead_letter("jobs.enqueue") == "hyperpage.dlq.v1.jobs.enqueue"
    assert (names.events, names.results, names.commands, names.dead_letters) == (
        "HYPERPAGE_EVENTS",
        "HYPERPAGE_RESULTS",
        "HYPERPAGE_COMMANDS",
        "HYPERPAGE_DLQ",
    )
    assert names.buckets == ("hyperpage_tool_configs", "hyperpage_app_state")


def test_a_service_says_which_of_its_tables_have_a_bucket():
    names = BusNames(prefix="a.b", mirrored_tables=("app_state", "baskets"))

    assert names.mirrors == {"app_state": "a_b_app_state", "baskets": "a_b_baskets"}
    assert names.readable == ("A_B_EVENTS", "A_B_RESULTS", "KV_a_b_app_state", "KV_a_b_baskets")


@pytest.mark.parametrize("prefix", ["hyperpage", "a.b", "A-1_x.y"])
@pytest.mark.parametrize("kind", ["command", "durable_command", "query", "administration", "dead_letter"])
def test_the_name_comes_back_from_a_subject_whatever_the_prefix(prefix: str, kind: str):
    names = BusNames(prefix=prefix)

    assert names.name_in(getattr(names, kind)("jobs.enqueue")) == "jobs.enqueue"
    assert names.name_in(getattr(names, kind)("batch")) == "batch"


@pytest.mark.parametrize("prefix", ["", ".", "a.", ".a", "a..b", "a b", "a*", "a.>", "ä", "a\n", "$SYS"])
def test_a_prefix_that_is_not_made_of_plain_tokens_is_refused(prefix: str):
    with pytest.raises(ValueError, match="no prefix"):
        BusNames(prefix=prefix)
    with pytest.raises(ValueError, match="prefix"):
        BusNames(inbox_prefix=prefix + ".")


def test_an_inbox_prefix_ends_with_a_dot():
    with pytest.raises(ValueError, match="end with a dot"):
        BusNames(inbox_prefix="_INBOX")


@pytest.mark.parametrize(
    ("prefix", "inbox_prefix"),
    [("a", "a."), ("a", "a.b."), ("a.b", "a."), ("hyperpage", "hyperpage.evt.v1.")],
)
def test_inboxes_that_overlap_the_subjects_are_refused(prefix: str, inbox_prefix: str):
    with pytest.raises(ValueError, match="outside"):
        BusNames(prefix=prefix, inbox_prefix=inbox_prefix)


@pytest.mark.parametrize(
    ("reply", "is_inbox"),
    [
        ("_INBOX.abc", True),
        ("_INBOX.abc.def", True),
        (ADMIN_INBOX + "abc", False),
        ("_INBOX", False),
        ("_INBOXES.abc", False),
        ("hyperpage.evt.v1.jobs.x.completed", False),
        ("$JS.API.STREAM.DELETE.X", False),
        ("", False),
        ("x._INBOX.abc", False),
    ],
)
def test_only_a_reply_below_the_inbox_prefix_is_an_inbox(reply: str, is_inbox: bool):
    assert BusNames().is_inbox(reply) is is_inbox
    assert BusNames().is_named_inbox(reply) is is_inbox


@pytest.mark.parametrize(
    ("reply", "is_inbox"),
    [
        (ADMIN_INBOX + "abc", True),
        ("_INBOX.abc", True),
        (ADMIN_INBOX.removesuffix("."), False),
        ("_INBOX_relay.abc", False),
        ("hyperpage.evt.v1.jobs.x.completed", False),
        ("", False),
    ],
)
def test_an_operator_is_answered_in_a_private_inbox_or_a_usual_one(reply: str, is_inbox: bool):
    assert BusNames().is_operators_inbox(reply) is is_inbox
