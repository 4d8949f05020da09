"""How pages write errors and numbers."""

import pytest

from ops.console.rendering import breakable, headline, meant, tried_again, with_code


def test_what_happened_is_at_the_end_of_a_traceback_and_else_at_the_beginning() -> None:
    traceback = (
        'Traceback (most recent call last):\n  File "a.py", line 1\n    call()\nValueError: no such page\n'
    )
    assert headline(traceback) == "ValueError: no such page"
    assert headline("java.lang.Error: no such page\n\tat a.B.c(B.java:1)") == "java.lang.Error: no such page"
    assert headline(" \n\nno such page") == "no such page"
    assert headline("\n") == ""
    assert len(headline("x" * 1_000)) == 300


@pytest.mark.parametrize(
    ("name", "value", "is_meant"),
    [
        ("run_at", 5, {"at": 5}),
        ("throttled_until", 5, {"at": 5}),
        ("until", 5, {"at": 5}),
        ("lease_ms", 5, {"length_ms": 5}),
        ("refresh_interval", 5, {"length_ms": 5}),
        ("attempt", 5, 5),
        ("completed_at", None, None),
        ("retry_at", "5", "5"),
        ("cancel_requested_at", True, True),
    ],
)
def test_a_number_is_what_the_name_of_its_field_says(name: str, value: object, is_meant: object) -> None:
    assert meant(value, name) == is_meant


def test_a_name_ends_a_line_between_its_words_and_is_escaped() -> None:
    assert breakable("backup.prune") == "backup.<wbr>prune"
    assert breakable("a_<b>.c") == "a_<wbr>&lt;b&gt;.<wbr>c"
    assert breakable("") == ""


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (
            {"base_ms": 1_000, "factor": 1.5, "cap_ms": 600_000, "jitter": 0.2},
            "after 1.0 s, then 1.5 times as long each time, 10 min at most; 20% of it by chance",
        ),
        (
            {"delays_ms": [0, 1_000, 60_000, 1, 2, 3, 4], "crashes_count": True},
            "after 0 ms, 1.0 s, 1 min, 1 ms, 2 ms and 2 more; a lost worker costs an attempt",
        ),
    ],
)
def test_when_a_job_is_tried_again_is_said_in_a_line(policy: dict[str, object], words: str) -> None:
    assert tried_again(policy) == words
    assert breakable("sync/github.com:acme@b/") == "sync/<wbr>github.<wbr>com:<wbr>acme@<wbr>b/"


def test_what_stands_between_backticks_is_code_and_all_of_it_is_escaped() -> None:
    assert with_code("see `<b>`, or <i>`") == "see <code>&lt;b&gt;</code>, or &lt;i&gt;`"
