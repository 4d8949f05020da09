"""Places in the log: how new what was read is, and how new it has to be.

A query's answer has `Hyperpage-Position: 41872` and `Hyperpage-Timeline: 1`; who sends both back, as
`Hyperpage-Min-Position: 1-41872`, reads nothing older. Positions alone are not enough: a restore takes some
of them away, and they are used again in another timeline. `Hyperpage-Read: leader` has what is newest of all.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from bus.contract.headers import MINIMUM_POSITION, POSITION, READ, TIMELINE
from domain.errors import Invalid

MAXIMUM_POSITION = 2**63 - 1
# By whom a query is to be answered.
LEADER = "leader"
# What is no place otherwise: whatever timeline the store has.
ANY_TIMELINE = 0

# As a regular expression of JSON Schema.
PLACE_PATTERN = "^(?:([1-9][0-9]{0,17})-)?([0-9]{1,19})$"

_WRITTEN = re.compile(PLACE_PATTERN.strip("^$"))


class LogPlace(NamedTuple):
    """A place in the log of a store. A later one is greater: a newer timeline goes on from older ones.

    So who is at a place has seen all places before it, but for what restores have undone.
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


def least_place(headers: Mapping[str, str] | None) -> LogPlace | None:
    """The place that a query is to be answered at or behind, if it says one; perhaps in any timeline.

    Raises:
        Invalid: it is none.
    """
    written = None if headers is None else headers.get(MINIMUM_POSITION)
    return None if written is None else _read(written)


def is_for_leader(headers: Mapping[str, str]) -> bool:
    """Whether a query is to be answered by the leader alone.

    Raises:
        Invalid: it is for somebody else.
    """
    who = headers.get(READ)
    if who is not None and who != LEADER:
        raise Invalid(f"a query is for the {LEADER} alone, or without this for any", path=READ)
    return who is not None


def place_in(headers: Mapping[str, str]) -> LogPlace | None:
    """The place that an answer says; `None`: it says none."""
    position, timeline = headers.get(POSITION), headers.get(TIMELINE)
    if position is None or timeline is None:
        return None
    try:
        return LogPlace(int(timeline), int(position))
    except ValueError:
        return None


# Who reads much asks for the same place again and again.
@lru_cache(maxsize=256)
def _read(written: str) -> LogPlace:
    match = _WRITTEN.fullmatch(written)
    if match is None or int(match[2]) > MAXIMUM_POSITION:
        raise Invalid(
            f"it is a position, such as 41872, or one with its timeline, 1-41872; at most {MAXIMUM_POSITION}",
            path=MINIMUM_POSITION,
        )
    return LogPlace(int(match[1] or ANY_TIMELINE), int(match[2]))
