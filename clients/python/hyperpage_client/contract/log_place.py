"""Places in the log: how new an answer is, and how new it has to be.

A query's answer has `Hyperpage-Position: 41872` and `Hyperpage-Timeline: 1`; a client that sends both back,
as `Hyperpage-Min-Position: 1-41872`, reads nothing older. Positions alone are not enough: a restore takes
some of them away, and they are used again in another timeline. With `Hyperpage-Read: leader`, the leader
answers, which has the newest.
"""

from collections.abc import Mapping
from typing import NamedTuple

from hyperpage_client.contract.headers import POSITION, TIMELINE

# The value of `Hyperpage-Read`: the leader alone is to answer.
LEADER = "leader"
# No timeline has this number: it stands for any timeline of the store.
ANY_TIMELINE = 0


class LogPlace(NamedTuple):
    """A place in the log of a store. A later one is greater: a newer timeline goes on from older ones.

    So a reader at a place has seen all places before it, except those that restores have undone.
    """

    timeline: int
    position: int

    def __str__(self) -> str:
        return f"{self.timeline}-{self.position}"

    def has(self, least: "LogPlace") -> bool:
        """Whether this is not before a place that was asked for."""
        return self >= least if least.timeline != ANY_TIMELINE else self.position >= least.position

    @property
    def headers(self) -> dict[str, str]:
        """The headers of what was read there."""
        return {POSITION: str(self.position), TIMELINE: str(self.timeline)}


def place_in(headers: Mapping[str, str]) -> LogPlace | None:
    """The place in the headers of an answer; `None` if there is none."""
    position, timeline = headers.get(POSITION), headers.get(TIMELINE)
    if position is None or timeline is None:
        return None
    try:
        return LogPlace(int(timeline), int(position))
    except ValueError:
        return None
