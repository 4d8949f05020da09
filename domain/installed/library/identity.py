"""The keys of aggregates, and the UUIDs that the library uses for them."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from domain.errors import Invalid
from domain.messages import KEY_PATTERN, KEY_RULES

_KEY = re.compile(KEY_PATTERN)
# The versions of UUIDs that are made of a name, not at random or of the time (RFC 9562).
_OF_A_NAME = (3, 5)


# Cached, since it is called twice for each command, and making a UUID takes as long as the rest of an event.
@lru_cache(maxsize=10_000)
def id_inside(table: str, key: str) -> UUID:
    """The library's id of an aggregate: its key if that is a UUID, or else a UUID made of the key."""
    try:
        own = UUID(key)
    except ValueError:
        pass
    else:
        # Other spellings of the UUID are other keys, so they must not get the same id.
        if str(own) == key:
            return own
    return uuid5(NAMESPACE_URL, f"{table}/{key}")


def is_by_chance(given: Any) -> bool:
    """Whether an id was not made of a name, so that another one may replace it."""
    return isinstance(given, UUID) and given.version not in _OF_A_NAME


def derived_key(create_id: Callable[..., Any], arguments: dict[str, Any]) -> str:
    """The key that `create_id` makes of a command's arguments.

    Raises:
        Invalid: `create_id` raises an exception, or its result is no key.
    """
    try:
        key = str(create_id(**arguments))
    # Any exception is about the arguments, and the caller of a verb's `key` handles refusals alone.
    except Exception as error:
        raise Invalid(
            f"no id can be made of this: {error}"[:500],
            hint="nothing was changed: the id follows from "
            f"{', '.join(arguments)}, so send others, and it is made of them",
            path="$",
        ) from error
    if _KEY.fullmatch(key) is None:
        raise Invalid(f"the id that follows is not a key: {key[:100]}", hint=KEY_RULES[KEY_PATTERN], path="$")
    return key
