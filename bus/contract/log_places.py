"""Headers of queries that say which place in the log they need, and whether the leader has to answer."""

import re
from collections.abc import Mapping
from functools import lru_cache

from domain.errors import Invalid
from hyperpage_client.contract.headers import MINIMUM_POSITION, READ
from hyperpage_client.contract.log_place import ANY_TIMELINE, LEADER, LogPlace

MAXIMUM_POSITION = 2**63 - 1

# As a regular expression of JSON Schema.
PLACE_PATTERN = "^(?:([1-9][0-9]{0,17})-)?([0-9]{1,19})$"

_WRITTEN = re.compile(PLACE_PATTERN.strip("^$"))


def least_place(headers: Mapping[str, str] | None) -> LogPlace | None:
    """The place in the log that a query's answer has to include, perhaps of any timeline; `None` without one.

    Raises:
        Invalid: the header is not a place.
    """
    written = None if headers is None else headers.get(MINIMUM_POSITION)
    return None if written is None else _read(written)


def is_for_leader(headers: Mapping[str, str]) -> bool:
    """Whether a query is to be answered by the leader alone.

    Raises:
        Invalid: the header has another value.
    """
    who = headers.get(READ)
    if who is not None and who != LEADER:
        raise Invalid(f"a query is for the {LEADER} alone, or without this for any", path=READ)
    return who is not None


# Cached, since a client that reads much asks for the same place again and again.
@lru_cache(maxsize=256)
def _read(written: str) -> LogPlace:
    match = _WRITTEN.fullmatch(written)
    if match is None or int(match[2]) > MAXIMUM_POSITION:
        raise Invalid(
            f"it is a position, such as 41872, or one with its timeline, 1-41872; at most {MAXIMUM_POSITION}",
            path=MINIMUM_POSITION,
        )
    return LogPlace(int(match[1] or ANY_TIMELINE), int(match[2]))
