"""Events as pages show them."""

from ops.console.shown_events import shown


def test_a_text_of_which_lines_are_left_out_says_so() -> None:
    data = {
        "error": "no such page\nthe second line\n",
        "reason": "one line\n",
        "note": "x" * 1_000,
        "last": "Traceback (most recent call last):\n  File\nValueError: no",
    }
    event = {"sequence": "1", "time": "2026-11-29T18:00:00.000Z", "subject": "jobs/a", "version": 1}
    event |= {"type": "hyperpage.job.failed.v1", "timeline": 1, "hash": "", "data": data}
    facts = dict(shown([event])[0].facts)
    assert facts["error"] == "no such page …"
    assert facts["reason"] == "one line"
    assert facts["note"].endswith("x…")
    assert facts["last"] == "ValueError: no …"
