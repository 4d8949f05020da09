"""The next times of a schedule that is not there yet."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from domain.errors import Invalid
from ops.contract.preview import PreviewSchedule, preview_verb

# A winter's day, the one before clocks go forward in Berlin.
NOW = datetime(2027, 3, 27, 12, tzinfo=ZoneInfo("Europe/Berlin"))


def preview(**query: Any) -> list[int]:
    verb = preview_verb(lambda: int(NOW.timestamp() * 1_000))
    answer = msgspec.json.decode(verb.answer(None, PreviewSchedule(**query)))
    return [one["run_at"] for one in answer["items"]]


def test_five_times_are_told_as_the_zone_has_them():
    times = preview(cron="0 3 * * *", time_zone="Europe/Berlin")
    told = [datetime.fromtimestamp(at / 1_000, NOW.tzinfo) for at in times]
    assert [one.strftime("%m-%d %H:%M %Z") for one in told] == [
        *("03-28 03:00 CEST", "03-29 03:00 CEST", "03-30 03:00 CEST", "03-31 03:00 CEST", "04-01 03:00 CEST"),
    ]


def test_an_interval_begins_now():
    now = int(NOW.timestamp() * 1_000)
    assert preview(every_ms=60_000, count=3) == [now + 60_000, now + 120_000, now + 180_000]


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({}, "$"),
        ({"cron": "@daily", "every_ms": 1_000}, "$"),
        ({"cron": "1 2 3"}, "$.cron"),
        ({"cron": "0 0 30 2 *"}, "$.cron"),
        ({"cron": "@daily", "time_zone": "Mars"}, "$.time_zone"),
    ],
)
def test_what_no_schedule_could_be_set_with_is_refused(query: dict[str, Any], path: str):
    with pytest.raises(Invalid) as refused:
        preview(**query)
    assert refused.value.details["path"] == path
