"""Recurring jobs: `messages` has what is said, `schedule` the state, the deciding and their story."""

from domain.schedules.messages import (
    Deleted,
    DeleteSchedule,
    JobTemplate,
    Paused,
    PauseSchedule,
    Ran,
    Resumed,
    ResumeSchedule,
    RunSchedule,
    ScheduledJob,
    ScheduleSet,
    SetSchedule,
    Skipped,
    Triggered,
    TriggerSchedule,
)
from domain.schedules.schedule import DECIDER, MISSED_AFTER_MS, TABLE, Schedule, evolve

__all__ = [
    "DECIDER",
    "MISSED_AFTER_MS",
    "TABLE",
    "DeleteSchedule",
    "Deleted",
    "JobTemplate",
    "PauseSchedule",
    "Paused",
    "Ran",
    "ResumeSchedule",
    "Resumed",
    "RunSchedule",
    "Schedule",
    "ScheduleSet",
    "ScheduledJob",
    "SetSchedule",
    "Skipped",
    "TriggerSchedule",
    "Triggered",
    "evolve",
]
