"""Subjects that a pattern covers, and the part of a stream that a user sees."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.contract.rights import EVERYTHING, Rights
from bus.contract.senders import ADMIN, APP
from bus.serving.stream_scope import Scope, covers, scope_of
from hyperpage_client.contract.subjects import BusNames, escape

NAMES = BusNames()
MIRROR = NAMES.stream_of_bucket(NAMES.mirrors["app_state"])
# Each subject of so many tokens of these letters; `c` stands for all that no pattern names.
DEPTH, LETTERS = 4, "abc"
SUBJECTS = [list(one) for length in range(1, DEPTH + 2) for one in itertools.product(LETTERS, repeat=length)]

tokens = st.sampled_from(["a", "b", "*"])
patterns = st.builds(
    lambda first, last: ".".join([*first, *last]),
    st.lists(tokens, max_size=DEPTH - 1),
    st.one_of(tokens, st.just(">")).map(lambda token: [token]),
)


def matches(pattern: str, subject: list[str]) -> bool:
    """Whether a subject matches a pattern, token by token, as NATS documents it."""
    wanted = pattern.split(".")
    if wanted[-1] == ">":
        wanted = wanted[:-1]
        if len(subject) <= len(wanted):
            return False
        subject = subject[: len(wanted)]
    return len(wanted) == len(subject) and all(
        one in ("*", other) for one, other in zip(wanted, subject, strict=True)
    )


@given(patterns, patterns)
def test_a_pattern_covers_another_if_all_subjects_of_that_match_it(one: str, other: str):
    chosen = [subject for subject in SUBJECTS if matches(other, subject)]

    assert covers(one, other) == all(matches(one, subject) for subject in chosen)


@given(patterns, st.sampled_from(SUBJECTS))
def test_a_pattern_covers_a_subject_if_that_matches_it(pattern: str, subject: list[str]):
    assert covers(pattern, ".".join(subject)) == matches(pattern, subject)


@given(patterns)
def test_a_pattern_covers_itself_and_everything_covers_it(pattern: str):
    assert covers(pattern, pattern)
    assert covers(">", pattern)


@pytest.mark.parametrize(
    ("pattern", "subject"),
    [
        ("a.>", "a"),
        ("a.*", "a.>"),
        ("a.*", "a"),
        ("a.*", "a.b.c"),
        ("*.b", "a.>"),
        ("*", ">"),
        ("a.b", "a.*"),
        ("a.b", "*.b"),
        ("a.b.>", "a.>"),
        ("a.b.>", "a.*.>"),
        ("a.>", ">"),
        ("a.>", "*.>"),
        ("a.>", ""),
        ("a.>", "A.b"),
        ("a.>", "aa.b"),
    ],
)
def test_a_pattern_does_not_cover_more_than_it_names(pattern: str, subject: str):
    assert not covers(pattern, subject)


def scope(stream: str, user: str = "billing", rights: Rights = EVERYTHING) -> Scope:
    found = scope_of(stream, user, rights, NAMES)
    assert found is not None
    return found


def test_a_user_sees_its_own_results_alone():
    results = scope(NAMES.results)

    assert results.subjects == ("hyperpage.usr.billing.res.v1.>",)
    assert results.admits("hyperpage.usr.billing.res.v1.c-1")
    for other in ("hyperpage.res.v1.c-1", "hyperpage.usr.rival.res.v1.c-1", "hyperpage.usr.*.res.v1.>", ">"):
        assert not results.admits(other)


def test_a_user_with_the_name_of_another_at_its_beginning_does_not_see_the_others_results():
    results = scope(NAMES.results, "bill")

    assert not results.admits("hyperpage.usr.billing.res.v1.c-1")


def test_who_follows_a_table_sees_its_events_and_those_of_the_system():
    events = scope(NAMES.events, rights=Rights(follows=("jobs",)))

    assert events.subjects == ("hyperpage.evt.v1.jobs.>", "hyperpage.evt.v1.system.>")
    assert not events.is_whole
    assert events.admits("hyperpage.evt.v1.jobs.1.enqueued")
    assert not events.admits("hyperpage.evt.v1.queues.1.paused")
    assert not events.admits("hyperpage.evt.v1.*.1.enqueued")


def test_who_follows_all_tables_sees_the_whole_stream():
    assert scope(NAMES.events).is_whole


@pytest.mark.parametrize(
    ("stream", "user", "rights"),
    [
        (NAMES.events, "billing", Rights(reads=("*",), commands=("*",))),
        (NAMES.commands, ADMIN, EVERYTHING),
        (NAMES.dead_letters, "billing", EVERYTHING),
        (NAMES.dead_letters, APP, EVERYTHING),
        (MIRROR, "billing", Rights(follows=("*",), reads=("jobs",))),
        ("KV_another", "billing", EVERYTHING),
        ("", "billing", EVERYTHING),
        ("*", "billing", EVERYTHING),
        (">", "billing", EVERYTHING),
        (NAMES.events.lower(), "billing", EVERYTHING),
    ],
)
def test_a_stream_that_is_not_for_a_user_is_none_to_it(stream: str, user: str, rights: Rights):
    assert scope_of(stream, user, rights, NAMES) is None


def test_the_operator_sees_the_dead_letters():
    assert scope(NAMES.dead_letters, ADMIN).is_whole


def test_who_reads_a_table_sees_its_mirror():
    assert scope(MIRROR, rights=Rights(reads=("app_state",))).is_whole


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_who_has_keys_sees_the_rows_of_those_alone(key: str):
    rights = Rights(reads=("app_state",), keys=("billing/", "b"))
    mirror = scope(MIRROR, rights=rights)

    assert not mirror.is_whole
    assert mirror.admits(NAMES.mirrored(NAMES.mirrors["app_state"], key)) == key.startswith(("billing/", "b"))


@pytest.mark.parametrize(
    "end", ["b.>", "b*", "*", ">", "b.c", "b=", "b=2", "b=2f", "b=ZZ", "b=FF", "", "b c"]
)
def test_what_is_no_key_is_nobodys(end: str):
    mirror = scope(MIRROR, rights=Rights(reads=("app_state",), keys=("b",)))

    assert not mirror.admits(f"$KV.{NAMES.mirrors['app_state']}.{end}")
    assert not mirror.admits(f"$KV.another.{escape('b')}")
