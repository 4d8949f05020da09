"""The output of `cluster status` about a log that trails."""

from typing import Any

import pytest

from ops.cli.cluster.status import _print_cluster


def member(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "role": "member",
        "position": 105,
        "lag_events": 0,
        "version": "0.1.0",
        "age_ms": 200,
        "clock_ahead_ms": 0,
        "address": "",
        "log_lag_events": None,
        "log_lag_seconds": None,
        **more,
    }


def cluster(**more: Any) -> dict[str, Any]:
    return {
        "name": "a",
        "role": "member",
        "term": 4,
        "leader": {"name": "b", "address": ""},
        "leaderless_seconds": 0,
        "kept_from_leading": None,
        "log": None,
        "problem": None,
        "members": [member("a"), member("b", log_lag_events=1_200, log_lag_seconds=6.25)],
        "fork": {"timeline": 2, "position": 101, "leader": "b", "missing_events": 4},
        "lost_events": ["lost-events-timeline-1-101-104.jsonl"],
        **more,
    }


def test_it_says_what_would_be_lost_what_was_and_who_has_it(capsys: pytest.CaptureFixture[str]):
    _print_cluster(cluster())
    said = capsys.readouterr().out

    assert "lacks 1,200 events, 6.2 s of what b has answered" in said
    assert "forked  at position 101, timeline 2, as b took over; missing: at least 4 events" in said
    assert "lost    lost-events-timeline-1-101-104.jsonl has what the cluster went on without" in said


def test_it_says_nothing_of_that_where_answers_wait_for_the_log(capsys: pytest.CaptureFixture[str]):
    _print_cluster(cluster(members=[member("a")], fork=None, lost_events=[]))

    assert not {"lacks", "forked", "lost"} & set(capsys.readouterr().out.split())
