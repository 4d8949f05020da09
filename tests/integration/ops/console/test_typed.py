"""A refused form is shown again with what was typed, on every page that has forms."""

import pytest

from tests.support.clock import MINUTE_MS, NOW
from tests.support.services.asking import HttpTalk
from tests.support.services.visiting import Visitor

# Longer than what any command takes.
WRONG = "because " * 130
REASON = f'name="reason" value="{WRONG}"'
LEFT_OUT = ">left out, since it holds a credential</textarea>"
RANDOM = "kX92mvQpL0sWz8RtYb"
SHARES = {"verb": "thresholds", "warning_percent": "96", "critical_percent": "91"}


@pytest.fixture(scope="module")
def somebody(shared: HttpTalk) -> Visitor:
    """A user who may change things, in a store that has one of each kind."""
    shared.command("jobs.enqueue", {"id": "one", "type": "t", "name": "n"})
    shared.command("tool_configs.set", {"tool_name": "github", "config": {}})
    for key in ("flag", "github/token"):
        shared.command("app_state.set", {"key": key, "value": True})
    shared.command("rate_limits.throttle", {"platform": "github", "until": NOW + MINUTE_MS})
    return Visitor(shared, "operate")


@pytest.mark.parametrize(
    ("page", "form", "shown"),
    [
        (
            "backups",
            {"back": "/console/backups", "description": WRONG},
            f'name="description" value="{WRONG}"',
        ),
        ("jobs/one", {"verb": "cancel", "reason": WRONG}, REASON),
        ("queues/mail", {"verb": "pause", "reason": WRONG}, REASON),
        ("queues/mail", {"verb": "limit", "concurrency": "few"}, 'value="few"'),
        ("tool_configs/github", {"verb": "disable", "version": "1", "reason": WRONG}, REASON),
        ("rate_limits/github", {"verb": "throttle", "minutes": "7", "reason": WRONG}, REASON),
        ("rate_limits/github", {"verb": "throttle", "minutes": "soon"}, 'value="soon"'),
        ("rate_limits/github", SHARES, 'value="96"'),
        ("rate_limits/github", SHARES, 'value="91"'),
        ("app_state/flag", {"verb": "set", "version": "1", "value": "{maybe"}, ">{maybe</textarea>"),
        # The key says what the value is.
        ("app_state/github%2Ftoken", {"verb": "set", "version": "1", "value": f'"{RANDOM}"'}, LEFT_OUT),
        (
            "app_state/flag",
            {"verb": "set", "version": "1", "value": f'{{"a": "ghp_{RANDOM}{RANDOM}", "a": 1}}'},
            LEFT_OUT,
        ),
    ],
)
def test_what_was_typed_is_there_again_also_when_a_part_of_the_page_comes_first(
    somebody: Visitor, page: str, form: dict[str, str], shown: str
) -> None:
    path = f"/console/{page}"
    assert shown not in somebody.page(path)
    assert somebody.post(path, **form).headers["location"] == path
    somebody.waits_for(path, 'role="alert"')
    again = somebody.page(path)
    assert shown in again
    assert RANDOM not in again
    assert shown not in somebody.page(path)
