import string
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.rate_limits.header_values import MAXIMUM_WAIT_MS, count_in, reset_in, wait_end_in
from domain.rate_limits.headers import named_resource, read_response
from domain.rate_limits.reading import Reading
from tests.support.domain.rate_limit_responses import AT, RESPONSES, Response
from tests.support.examples import examples


def readings(**headers: str) -> tuple[Reading, ...]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_response("example", 200, named, AT).readings


# Headers of real platforms


@pytest.mark.parametrize("sent", RESPONSES, ids=[sent.source for sent in RESPONSES])
def test_what_a_platform_sends_is_understood(sent: Response):
    response = read_response(sent.platform, sent.status, sent.headers, sent.at)

    assert response.readings == tuple(Reading(**said) for said in sent.readings)
    assert (response.is_refusal, response.retry_at) == (sent.is_refusal, sent.retry_at)
    assert named_resource(sent.headers) == sent.resource


@pytest.mark.parametrize("fold", [str.upper, str.lower, str.title])
@pytest.mark.parametrize("sent", RESPONSES, ids=[sent.source for sent in RESPONSES])
def test_the_case_of_names_does_not_matter(sent: Response, fold: Any):
    folded = {fold(name): value for name, value in sent.headers.items()}

    assert read_response(sent.platform, sent.status, folded, sent.at) == read_response(
        sent.platform, sent.status, sent.headers, sent.at
    )
    assert named_resource(folded) == sent.resource


def test_the_reason_is_the_platforms_own_where_it_gives_one():
    assert read_response("jira", 429, {"RateLimit-Reason": "jira-burst-based"}, AT).reason == (
        "jira-burst-based"
    )
    assert read_response("slack", 429, {}, AT).reason == "HTTP 429"
    assert read_response("x", 429, {"RateLimit-Reason": "a\nb" + "c" * 999}, AT).reason == "ab" + "c" * 198


# Refusals


@pytest.mark.parametrize(
    ("platform", "status", "headers", "is_refusal"),
    [
        ("slack", 429, {}, True),
        ("slack", 403, {}, False),
        ("slack", 403, {"Retry-After": "1"}, True),
        ("example", 403, {"X-RateLimit-Remaining": "0"}, True),
        ("example", 403, {"X-RateLimit-Remaining": "1"}, False),
        ("github", 403, {}, True),
        ("enterprise", 403, {"X-GitHub-Request-Id": "1"}, True),
        ("github", 401, {}, False),
        ("github", 404, {"x-ratelimit-remaining": "0"}, False),
        ("example", 503, {}, False),
        ("example", 200, {"Retry-After": "60"}, False),
        ("example", 301, {"Retry-After": "60"}, False),
    ],
)
def test_a_refusal_is_told_by_status_and_headers(platform, status, headers, is_refusal):
    response = read_response(platform, status, headers, AT)

    assert response.is_refusal == is_refusal
    assert is_refusal or response.retry_at is None


@pytest.mark.parametrize("status", [200, 400, 403, 429, 503])
def test_a_caller_who_read_the_body_knows_better(status: int):
    headers = {"Retry-After": "7", "x-ratelimit-resource": "core"}

    denied = read_response("github", status, headers, AT, rate_limited=False)
    said = read_response("github", status, headers, AT, rate_limited=True)

    assert (denied.is_refusal, denied.retry_at) == (False, None)
    assert (said.is_refusal, said.retry_at) == (True, AT + 7_000)


# Headers that come several times, and in several dialects


def test_a_header_that_came_several_times_is_one_list():
    several = {"RateLimit": ['"a";r=1;t=1', '"b";r=2;t=2'], "Set-Cookie": ["x=1", "y=2"]}
    twice = {"X-RateLimit-Remaining": "5", "x-ratelimit-remaining": " 5 "}

    assert [one.policy for one in read_response("example", 200, several, AT).readings] == ["a", "b"]
    assert read_response("example", 200, twice, AT).readings == (Reading(remaining=5),)


def test_values_that_contradict_each_other_are_ignored():
    twice = {"X-RateLimit-Remaining": "5", "x-ratelimit-remaining": "6", "X-RateLimit-Limit": "9"}

    assert read_response("example", 200, twice, AT).readings == (Reading(limit=9),)
    assert readings(x_ratelimit_limit="10", x_ratelimit_remaining="11") == (Reading(remaining=11),)
    assert readings(ratelimit='"a";r=11', ratelimit_policy='"a";q=10') == (Reading(policy="a", remaining=11),)


def test_two_dialects_for_one_policy_are_one_reading():
    both = readings(
        x_ratelimit_limit="100",
        x_ratelimit_remaining="40",
        ratelimit_limit="100",
        ratelimit_remaining="40",
        ratelimit_policy="100;w=60",
    )

    assert both == (Reading(limit=100, remaining=40, window_ms=60_000),)


def test_at_most_eight_policies_are_read():
    many = ", ".join(f'"p{number}";r={number}' for number in range(20))

    assert len(readings(ratelimit=many)) == 8


@pytest.mark.parametrize(
    "field",
    ['"a";r=1.5', '"a";r', '"a";r=-1', '"a";r=?1', '("a" "b");r=1', ":YQ==:;r=1", '"a";r=1,', "ä", '"a', "",
     ";;;", "r=1", f'"{"x" * 65}";r=1', '"a";t=999999999999'],
)  # fmt: skip
def test_a_malformed_field_is_ignored(field: str):
    said = readings(ratelimit=field)

    assert all(one == Reading(policy="a") for one in said)


@pytest.mark.parametrize("name", ["a:b", "", " ", "..", "ä", "x" * 65, ".a"])
def test_a_resource_that_could_not_be_part_of_a_key_is_none(name: str):
    assert named_resource({"x-ratelimit-resource": name}) is None


# Values


@pytest.mark.parametrize(
    "text", ["-1", "+1", "1.5", "0x10", "1e3", "١", "", "nan", "9" * 16, "9" * 400, "1_000", "5 calls"]
)
def test_a_count_that_makes_no_sense_is_none(text: str):
    assert count_in(text) is None
    assert readings(x_ratelimit_remaining=text) == ()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("0", AT),
        ("1", AT + 1_000),
        ("0.25", AT + 250),
        ("60", AT + 60_000),
        (str(AT // 1000 + 5), AT + 5_000),
        (f"{AT // 1000 + 5}.125", AT + 5_125),
        (str(AT + 5_000), AT + 5_000),
        ("2027-01-15T08:00:05Z", AT + 5_000),
        ("2027-01-15T09:00:05+01:00", AT + 5_000),
        ("2027-01-15T08:00:05", AT + 5_000),
        ("2027-01-15T08:01Z", AT + 60_000),
        ("Fri, 15 Jan 2027 08:00:05 GMT", AT + 5_000),
        ("Friday, 15-Jan-27 08:00:05 GMT", AT + 5_000),
        ("Fri Jan 15 08:00:05 2027", AT + 5_000),
    ],
)
def test_a_reset_may_have_any_of_the_forms_that_there_are(text: str, moment: int):
    assert reset_in(text, AT) == moment


@pytest.mark.parametrize(
    "text",
    ["", "-1", "nan", "inf", "1e9", "soon", "0000-00-00T00:00Z", "99999999999999999999", "1000000000",
     "2999-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "Fri, 99 Jan 2027 08:00:05 GMT", "9" * 5000,
     str(MAXIMUM_WAIT_MS // 1000 + 1), "Mon, 01 Jan 0001 00:00:00 GMT", "Sat, 31 Dec 9999 23:59:59 -2359"],
)  # fmt: skip
def test_a_reset_that_makes_no_sense_is_none(text: str):
    assert reset_in(text, AT) is None
    assert readings(x_ratelimit_remaining="1", x_ratelimit_reset=text) == (Reading(remaining=1),)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("0", AT),
        ("120", AT + 120_000),
        ("64.57", AT + 64_570),
        ("Fri, 15 Jan 2027 08:00:05 GMT", AT + 5_000),
        ("Fri, 15 Jan 2027 07:00:00 GMT", AT),
        ("-5", None),
        ("a while", None),
        ("31536000", None),
        ("Fri, 15 Jan 2100 08:00:05 GMT", None),
    ],
)
def test_a_wait_is_seconds_or_a_date(text: str, end: int | None):
    assert wait_end_in(text, AT) == end


# Any headers at all

names = st.sampled_from(
    ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Used", "X-RateLimit-Reset", "RateLimit-Reset",
     "X-RateLimit-Reset-After", "X-RateLimit-Bucket", "X-RateLimit-Global", "X-RateLimit-NearLimit",
     "RateLimit", "RateLimit-Policy", "RateLimit-Name", "RateLimit-ResetTime", "RateLimit-Observed",
     "RateLimit-Reason", "Beta-RateLimit", "Retry-After", "retry-after"]
) | st.text(max_size=20)  # fmt: skip
values = (
    st.text(max_size=40)
    | st.text(string.digits + '.;=,"rtqw:-TZ ', max_size=40)
    | st.integers(-10, 2**70).map(str)
    | st.floats().map(str)
    | st.datetimes().map(str)
)


@settings(max_examples=examples(300), deadline=None)
@given(
    status=st.integers(100, 599),
    headers=st.dictionaries(names, values | st.lists(values, max_size=3), max_size=8),
    at=st.integers(0, 253_402_300_799_999),
)
def test_no_headers_crash_the_reading_and_what_is_read_is_in_its_bounds(status, headers, at):
    response = read_response("github", status, headers, at)

    assert len(response.readings) <= 9
    assert response.retry_at is None or at <= response.retry_at <= at + MAXIMUM_WAIT_MS
    for reading in response.readings:
        counts = (reading.remaining, reading.limit, reading.used)
        assert all(count is None or 0 <= count < 2**53 for count in counts)
        assert reading.reset_time is None or 0 <= reading.reset_time <= at + MAXIMUM_WAIT_MS
        assert msgspec.json.decode(msgspec.json.encode(reading), type=Reading) == reading
    named_resource(headers)
