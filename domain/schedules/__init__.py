"""Recurring jobs: `messages` has the commands and events, `schedule` the state and the decisions.

`times` computes when a schedule runs next.
"""

from domain.schedules.schedule import DECIDER, TABLE, Schedule

__all__ = ["DECIDER", "TABLE", "Schedule"]
