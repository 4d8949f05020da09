"""States that are kept beside the log can be read by the versions that come after."""

from bus.log.states import SHAPES


def test_states_that_earlier_versions_kept_are_still_used():
    # A changed one, be it by a word in a docstring, has every state of its table made anew from the whole
    # stream, in the writer's thread, when it is next asked for.
    assert SHAPES == {
        "jobs": "43e769941055f94b",
        "queues": "3ea7f524f1d1e2cd",
        "schedules": "a00773dda261966a",
        "rate_limits": "d34c5e61f079ffc2",
        "tool_configs": "1a5e10ed260e32e3",
        "app_state": "e2203390e5ecdae4",
    }
