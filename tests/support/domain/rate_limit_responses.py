"""Responses as platforms send them, with what they mean; each says where its headers were found.

`at` is the moment of the response in milliseconds since the epoch: that of its Date header where one was
recorded, else one at which it could have come.
"""

from datetime import datetime
from typing import Any

import msgspec


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A response, and the readings that are expected from it: one for each policy, the first one flat."""

    source: str
    platform: str
    status: int = 200
    at: int
    headers: dict[str, str]
    readings: tuple[dict[str, Any], ...] = ()
    resource: str | None = None
    is_refusal: bool = False
    retry_at: int | None = None


def moment(text: str) -> int:
    """Milliseconds since the epoch of an ISO 8601 time."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


GITHUB_AT = moment("2018-06-03T05:43:19Z")
GITHUB_REFUSED_AT = moment("2013-08-20T14:50:41Z")
GITLAB_AT = moment("2022-01-06T21:40:30Z")
GITLAB_REFUSED_AT = moment("2021-01-05T10:59:30Z")
JIRA_AT = moment("2025-10-08T14:29:13Z")
DISCORD_AT = 1_470_172_958_553
AT = 1_800_000_000_000

RESPONSES = (
    Response(
        source="GitHub: octokit/fixtures, scenarios/api.github.com/search-issues/raw-fixture.json",
        platform="github",
        status=201,
        at=GITHUB_AT,
        headers={
            "Server": "GitHub.com",
            "Date": "Sun, 03 Jun 2018 05:43:19 GMT",
            "X-RateLimit-Limit": "5000",
            "X-RateLimit-Remaining": "4898",
            "X-RateLimit-Reset": "1528007987",
            "Access-Control-Expose-Headers": "ETag, Link, Retry-After, X-RateLimit-Limit",
            "X-GitHub-Request-Id": "C816:2B5D:187D1AF:30D7EC9:5B137FF7",
        },
        readings=({"limit": 5000, "remaining": 4898, "reset_time": 1_528_007_987_000},),
    ),
    Response(
        source="GitHub, graphql: headers of a recorded GraphQL answer",
        platform="github",
        at=1_635_917_000_000,
        headers={
            "x-ratelimit-limit": "5000",
            "x-ratelimit-remaining": "4987",
            "x-ratelimit-reset": "1635919119",
            "x-ratelimit-used": "13",
            "x-ratelimit-resource": "graphql",
        },
        readings=({"limit": 5000, "remaining": 4987, "used": 13, "reset_time": 1_635_919_119_000},),
        resource="graphql",
    ),
    Response(
        source="GitHub, primary limit: documentation of the REST API of 2013, without authentication",
        platform="github",
        status=403,
        at=GITHUB_REFUSED_AT,
        headers={
            "Date": "Tue, 20 Aug 2013 14:50:41 GMT",
            "X-RateLimit-Limit": "60",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": "1377013266",
        },
        readings=({"limit": 60, "remaining": 0, "reset_time": 1_377_013_266_000},),
        is_refusal=True,
    ),
    Response(
        source="GitHub, secondary limit: documentation of the REST API, `retry-after` in seconds",
        platform="github",
        status=403,
        at=AT,
        headers={"retry-after": "60", "x-ratelimit-remaining": "4077", "x-ratelimit-resource": "core"},
        readings=({"remaining": 4077},),
        resource="core",
        is_refusal=True,
        retry_at=AT + 60_000,
    ),
    Response(
        source="GitHub, core: recorded by GitLab's manual of importing through a proxy, October 2022",
        platform="github",
        at=moment("2022-10-18T21:42:55Z"),
        headers={
            "Date": "Tue, 18 Oct 2022 21:42:55 GMT",
            "X-GitHub-Media-Type": "github.v3; format=json",
            "X-RateLimit-Limit": "5000",
            "X-RateLimit-Remaining": "4997",
            "X-RateLimit-Reset": "1666132381",
            "X-RateLimit-Used": "3",
            "X-RateLimit-Resource": "core",
        },
        readings=({"limit": 5000, "remaining": 4997, "used": 3, "reset_time": 1_666_132_381_000},),
        resource="core",
    ),
    Response(
        source="GitHub, search without authentication: recorded by hand, October 2024",
        platform="github",
        at=moment("2024-10-01T18:02:09Z"),
        headers={
            "Date": "Tue, 01 Oct 2024 18:02:09 GMT",
            "x-github-api-version-selected": "2022-11-28",
            "X-RateLimit-Limit": "10",
            "X-RateLimit-Remaining": "9",
            "X-RateLimit-Reset": "1727805789",
            "X-RateLimit-Resource": "search",
            "X-RateLimit-Used": "1",
        },
        readings=({"limit": 10, "remaining": 9, "used": 1, "reset_time": 1_727_805_789_000},),
        resource="search",
    ),
    Response(
        source="GitHub, search, secondary limit with half of the budget left: KnpLabs/php-github-api, #1072",
        platform="github",
        status=403,
        at=moment("2022-06-13T11:48:53Z"),
        headers={
            "Server": "GitHub.com",
            "Date": "Mon, 13 Jun 2022 11:48:53 GMT",
            "X-RateLimit-Limit": "30",
            "X-RateLimit-Remaining": "14",
            "X-RateLimit-Reset": "1655120964",
            "X-RateLimit-Used": "16",
            "X-RateLimit-Resource": "search",
        },
        readings=({"limit": 30, "remaining": 14, "used": 16, "reset_time": 1_655_120_964_000},),
        resource="search",
        is_refusal=True,
    ),
    Response(
        source="GitHub, search, secondary limit, counts that do not add up: semantic-release/github's tests",
        platform="github",
        status=403,
        at=moment("2024-05-28T19:49:00Z"),
        headers={
            "date": "Tue, 28 May 2024 19:49:00 GMT",
            "server": "GitHub.com",
            "x-github-api-version-selected": "2022-11-28",
            "x-ratelimit-limit": "30",
            "x-ratelimit-remaining": "30",
            "x-ratelimit-reset": "1716925800",
            "x-ratelimit-resource": "search",
            "x-ratelimit-used": "1",
        },
        readings=({"limit": 30, "remaining": 30, "used": 1, "reset_time": 1_716_925_800_000},),
        resource="search",
        is_refusal=True,
    ),
    Response(
        source="GitLab.com, API: recorded in a client's log, January 2022",
        platform="gitlab",
        at=GITLAB_AT,
        headers={
            "RateLimit-Observed": "6",
            "RateLimit-Remaining": "1994",
            "RateLimit-Reset": "1641505278",
            "RateLimit-ResetTime": "Thu, 06 Jan 2022 21:41:18 GMT",
            "RateLimit-Limit": "2000",
            "GitLab-LB": "fe-12-lb-gprd",
        },
        readings=({"limit": 2000, "remaining": 1994, "used": 6, "reset_time": 1_641_505_278_000},),
    ),
    Response(
        source="GitLab.com, pages: recorded over HTTP/2, December 2025",
        platform="gitlab",
        at=1_764_613_050_000,
        headers={
            "ratelimit-limit": "500",
            "ratelimit-name": "throttle_unauthenticated_web",
            "ratelimit-observed": "6",
            "ratelimit-remaining": "494",
            "ratelimit-reset": "1764613080",
        },
        readings=(
            {
                "policy": "throttle_unauthenticated_web",
                "limit": 500,
                "remaining": 494,
                "used": 6,
                "reset_time": 1_764_613_080_000,
            },
        ),
    ),
    Response(
        source="GitLab, refused: documentation, User and IP rate limits; its counts do not add up",
        platform="gitlab",
        status=429,
        at=GITLAB_REFUSED_AT,
        headers={
            "RateLimit-Limit": "60",
            "RateLimit-Name": "throttle_authenticated_api",
            "RateLimit-Observed": "67",
            "RateLimit-Remaining": "33",
            "RateLimit-Reset": "1609844400",
            "RateLimit-ResetTime": "Tue, 05 Jan 2021 11:00:00 GMT",
            "Retry-After": "30",
        },
        readings=(
            {
                "policy": "throttle_authenticated_api",
                "limit": 60,
                "remaining": 33,
                "used": 67,
                "reset_time": 1_609_844_400_000,
            },
        ),
        is_refusal=True,
        retry_at=GITLAB_REFUSED_AT + 30_000,
    ),
    Response(
        source="GitLab, only the date of the reset: documentation of GitLab Runner, Handling rate limits",
        platform="gitlab",
        status=429,
        at=moment("2015-10-21T07:27:00Z"),
        headers={"RateLimit-Remaining": "0", "RateLimit-ResetTime": "Wed, 21 Oct 2015 07:28:00 GMT"},
        readings=({"remaining": 0, "reset_time": moment("2015-10-21T07:28:00Z")},),
        is_refusal=True,
    ),
    Response(
        source="Jira Cloud, quota spent: documentation, Rate limiting",
        platform="jira",
        status=429,
        at=JIRA_AT,
        headers={
            "Retry-After": "1847",
            "X-RateLimit-Limit": "100000",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": "2025-10-08T15:00:00Z",
            "RateLimit-Reason": "jira-quota-global-based",
        },
        readings=({"limit": 100_000, "remaining": 0, "reset_time": moment("2025-10-08T15:00:00Z")},),
        is_refusal=True,
        retry_at=moment("2025-10-08T15:00:00Z"),
    ),
    Response(
        source="Jira Cloud, refused: documentation of 2021, a reset without counts",
        platform="jira",
        status=429,
        at=moment("2024-05-05T18:01:20Z"),
        headers={"X-RateLimit-Reset": "2024-05-05T18:02Z"},
        readings=({"reset_time": moment("2024-05-05T18:02:00Z")},),
        is_refusal=True,
    ),
    Response(
        source="Jira Cloud, near the limit: documentation; the reset is told to the minute",
        platform="jira",
        at=moment("2024-05-05T18:01:20Z"),
        headers={
            "X-RateLimit-Limit": "65000",
            "X-RateLimit-Remaining": "500",
            "X-RateLimit-Reset": "2024-05-05T18:02Z",
            "X-RateLimit-NearLimit": "true",
        },
        readings=(
            {
                "limit": 65_000,
                "remaining": 500,
                "reset_time": moment("2024-05-05T18:02:00Z"),
                "near_limit": True,
            },
        ),
    ),
    Response(
        source="Jira Cloud, points in beta, far from the limit: documentation, Rate limiting",
        platform="jira",
        at=AT,
        headers={
            "Beta-RateLimit-Policy": '"global-app-quota";q=65000;w=3600',
            "Beta-RateLimit": '"global-app-quota";t=3200',
        },
        readings=(
            {
                "policy": "global-app-quota",
                "limit": 65_000,
                "reset_time": AT + 3_200_000,
                "window_ms": 3_600_000,
            },
        ),
    ),
    Response(
        source="Jira Cloud, two policies in beta: documentation, Rate limiting",
        platform="jira",
        at=AT,
        headers={
            "Beta-RateLimit-Policy": '"global-app-quota";q=65000;w=3600,"jira-burst-based";q=100;w=1',
            "Beta-RateLimit": '"global-app-quota";t=200,"jira-burst-based";r=90;t=1',
        },
        readings=(
            {
                "policy": "global-app-quota",
                "limit": 65_000,
                "reset_time": AT + 200_000,
                "window_ms": 3_600_000,
            },
            {
                "policy": "jira-burst-based",
                "limit": 100,
                "remaining": 90,
                "reset_time": AT + 1_000,
                "window_ms": 1_000,
            },
        ),
    ),
    Response(
        source="Slack: documentation of the Web API, Rate limits",
        platform="slack",
        status=429,
        at=AT,
        headers={"Content-Type": "application/json", "Retry-After": "30"},
        is_refusal=True,
        retry_at=AT + 30_000,
    ),
    Response(
        source="Discord: in the form of its documentation; fractions of seconds",
        platform="discord",
        at=DISCORD_AT,
        headers={
            "X-RateLimit-Limit": "5",
            "X-RateLimit-Remaining": "3",
            "X-RateLimit-Reset": "1470172959.123",
            "X-RateLimit-Reset-After": "0.57",
            "X-RateLimit-Bucket": "abcd1234",
        },
        readings=({"limit": 5, "remaining": 3, "reset_time": DISCORD_AT + 570},),
        resource="abcd1234",
    ),
    Response(
        source="Discord, a bucket refuses: documentation, Rate Limits",
        platform="discord",
        status=429,
        at=DISCORD_AT,
        headers={
            "Retry-After": "65",
            "X-RateLimit-Limit": "10",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": "1470173023.123",
            "X-RateLimit-Reset-After": "64.57",
            "X-RateLimit-Bucket": "abcd1234",
            "X-RateLimit-Scope": "user",
        },
        readings=({"limit": 10, "remaining": 0, "reset_time": 1_470_173_023_123},),
        resource="abcd1234",
        is_refusal=True,
        retry_at=DISCORD_AT + 65_000,
    ),
    Response(
        source="Discord, a bucket of one call refuses: recorded in project-blurple/Canvas-Web, #505",
        platform="discord",
        status=429,
        at=1_778_016_456_778,
        headers={
            "x-ratelimit-bucket": "b353d78ff3f98f77197d13d44ed4c164",
            "x-ratelimit-limit": "1",
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": "1778016457.012",
            "x-ratelimit-reset-after": "0.234",
        },
        readings=({"limit": 1, "remaining": 0, "reset_time": 1_778_016_457_012},),
        resource="b353d78ff3f98f77197d13d44ed4c164",
        is_refusal=True,
    ),
    Response(
        source="Discord, a resource that others use as well: documentation, Rate Limits; calls are left",
        platform="discord",
        status=429,
        at=DISCORD_AT,
        headers={
            "Retry-After": "1337",
            "X-RateLimit-Limit": "10",
            "X-RateLimit-Remaining": "9",
            "X-RateLimit-Reset": "1470173023.123",
            "X-RateLimit-Reset-After": "64.57",
            "X-RateLimit-Bucket": "abcd1234",
            "X-RateLimit-Scope": "shared",
        },
        readings=({"limit": 10, "remaining": 9, "reset_time": 1_470_173_023_123},),
        resource="abcd1234",
        is_refusal=True,
        retry_at=DISCORD_AT + 1_337_000,
    ),
    Response(
        source="Discord, the limit of all buckets: documentation, Rate Limits",
        platform="discord",
        status=429,
        at=DISCORD_AT,
        headers={"Retry-After": "65", "X-RateLimit-Global": "true", "X-RateLimit-Scope": "global"},
        resource="global",
        is_refusal=True,
        retry_at=DISCORD_AT + 65_000,
    ),
    Response(
        source="Discord, no permission: limits come along with a 403, too; made up in the form of the above",
        platform="discord",
        status=403,
        at=DISCORD_AT,
        headers={
            "X-RateLimit-Limit": "5",
            "X-RateLimit-Remaining": "4",
            "X-RateLimit-Reset": "1470172959.5",
            "X-RateLimit-Bucket": "abcd1234",
        },
        readings=({"limit": 5, "remaining": 4, "reset_time": 1_470_172_959_500},),
        resource="abcd1234",
    ),
    Response(
        source="IETF: draft-ietf-httpapi-ratelimit-headers, one policy",
        platform="example",
        at=AT,
        headers={"RateLimit-Policy": '"default";q=100;w=60', "RateLimit": '"default";r=50;t=30'},
        readings=(
            {
                "policy": "default",
                "limit": 100,
                "remaining": 50,
                "reset_time": AT + 30_000,
                "window_ms": 60_000,
            },
        ),
    ),
    Response(
        source="IETF: draft-ietf-httpapi-ratelimit-headers, several policies, of which one is told",
        platform="example",
        at=AT,
        headers={
            "RateLimit-Policy": '"permin";q=50;w=60,"perhr";q=1000;w=3600,"perday";q=5000;w=86400',
            "RateLimit": '"permin";r=20;t=23, "perhr";r=399;t=2402',
        },
        readings=(
            {
                "policy": "permin",
                "limit": 50,
                "remaining": 20,
                "reset_time": AT + 23_000,
                "window_ms": 60_000,
            },
            {
                "policy": "perhr",
                "limit": 1000,
                "remaining": 399,
                "reset_time": AT + 2_402_000,
                "window_ms": 3_600_000,
            },
        ),
    ),
    Response(
        source="IETF: only what is promised, with the key of a partition",
        platform="example",
        at=AT,
        headers={"Ratelimit-Policy": '"project.create.user";q=4;w=86400;pk=:dXNlcg==:'},
        readings=({"policy": "project.create.user", "limit": 4, "window_ms": 86_400_000},),
    ),
    Response(
        source="monday.com: documentation, Rate limit headers; slots and complexity are no calls",
        platform="monday",
        at=AT,
        headers={
            "RateLimit-Policy": '"minuteRate";q=5000;w=60, "concurrency";q=250;qu="concurrent-requests",'
            ' "complexityMinute";q=5000000;w=60;qu="content-bytes"',
            "RateLimit": '"minuteRate";r=4999, "concurrency";r=249, "complexityMinute";r=4950000;t=45',
        },
        readings=({"policy": "minuteRate", "limit": 5_000, "remaining": 4_999, "window_ms": 60_000},),
    ),
    Response(
        source="monday.com, complexity spent: in the form of its documentation",
        platform="monday",
        status=429,
        at=AT,
        headers={
            "RateLimit-Policy": '"minuteRate";q=5000;w=60, "concurrency";q=250;qu="concurrent-requests",'
            ' "complexityMinute";q=5000000;w=60;qu="content-bytes"',
            "RateLimit": '"minuteRate";r=4999, "concurrency";r=249, "complexityMinute";r=0;t=45',
        },
        readings=(
            {"policy": "minuteRate", "limit": 5_000, "remaining": 4_999, "window_ms": 60_000},
            {"policy": "complexityMinute", "remaining": 0, "reset_time": AT + 45_000},
        ),
        is_refusal=True,
    ),
    Response(
        source="Hugging Face: a policy that is no structured field beside one that is",
        platform="huggingface",
        status=429,
        at=AT,
        headers={
            "ratelimit-policy": '"fixed window";"resolvers";q=3000;w=300',
            "ratelimit": '"resolvers";r=0;t=52',
        },
        readings=({"policy": "resolvers", "remaining": 0, "reset_time": AT + 52_000},),
        is_refusal=True,
    ),
    Response(
        source="IETF, seventh version: express-rate-limit with `standardHeaders: 'draft-7'`",
        platform="example",
        at=AT,
        headers={"RateLimit-Policy": "100;w=60", "RateLimit": "limit=100, remaining=50, reset=30"},
        readings=({"limit": 100, "remaining": 50, "reset_time": AT + 30_000, "window_ms": 60_000},),
    ),
    Response(
        source="IETF, third version: three headers, the reset in seconds from now, policies behind the limit",
        platform="example",
        at=AT,
        headers={
            "RateLimit-Limit": "10, 10;w=1, 50;w=60",
            "RateLimit-Remaining": "9",
            "RateLimit-Reset": "50",
        },
        readings=({"limit": 10, "remaining": 9, "reset_time": AT + 50_000},),
    ),
    Response(
        source="Linear: documentation of its API, milliseconds since the epoch",
        platform="linear",
        at=AT,
        headers={
            "X-RateLimit-Requests-Limit": "2500",
            "X-RateLimit-Requests-Remaining": "2499",
            "X-RateLimit-Requests-Reset": str(AT + 3_600_000),
            "X-Complexity": "12",
        },
        readings=({"limit": 2500, "remaining": 2499, "reset_time": AT + 3_600_000},),
    ),
    Response(
        source="RapidAPI: a recorded response, a quota of a month",
        platform="rapidapi",
        at=AT,
        headers={
            "x-ratelimit-api-units-limit": "60000",
            "x-ratelimit-api-units-remaining": "15920",
            "x-ratelimit-requests-limit": "240000",
            "x-ratelimit-requests-remaining": "205676",
            "x-ratelimit-requests-reset": "2163603",
            "server": "RapidAPI-0.0.45",
        },
        readings=({"limit": 240_000, "remaining": 205_676, "reset_time": AT + 2_163_603_000},),
    ),
    Response(
        source="A web server without limits",
        platform="example",
        status=503,
        at=AT,
        headers={"Server": "nginx"},
    ),
    Response(
        source="Jira Cloud, a resource is exhausted: documentation, Rate limiting",
        platform="jira",
        status=503,
        at=AT,
        headers={"Retry-After": "5"},
        is_refusal=True,
        retry_at=AT + 5_000,
    ),
)
