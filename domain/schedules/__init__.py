"""Recurring jobs: `messages` has what is said, `schedule` the state, the deciding and their story."""

from domain.schedules.messages import (
    Deleted,
    JobTemplate,
    Paused,
    Ran,
    Resumed,
    ScheduleSet,
    Skipped,
    Triggered,
)
from domain.schedules.schedule import DECIDER, TABLE, Schedule

__all__ = [
    "DECIDER",
    "TABLE",
    "Deleted",
    "JobTemplate",
    "Paused",
    "Ran",
    "Resumed",
    "Schedule",
    "ScheduleSet",
    "Skipped",
    "Triggered",
]
