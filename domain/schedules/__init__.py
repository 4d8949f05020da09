"""Recurring jobs: `messages` has what is said, `schedule` the state, the deciding and their story.

`times` says when one runs next.
"""

from domain.schedules.schedule import DECIDER, TABLE, Schedule

__all__ = ["DECIDER", "TABLE", "Schedule"]
