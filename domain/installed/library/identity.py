"""Keys of the house, and the ids that aggregates of the library have inside."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from domain.errors import Invalid
from domain.messages import KEY_PATTERN, KEY_RULES

_KEY = re.compile(KEY_PATTERN)
# RFC 9562: versions that are made of a name, and not by chance or of the time.
_OF_A_NAME = (3, 5)


# Asked twice for each command, and making one takes as long as the rest of an event.
@lru_cache(maxsize=10_000)
def id_inside(table: str, key: str) -> UUID:
    """The key itself where it is a UUID, or the one that is made of it."""
    try:
        own = UUID(key)
    except ValueError:
        pass
    else:
        # Others are spelled differently, and must not become the same aggregate inside.
        if str(own) == key:
            return own
    return uuid5(NAMESPACE_URL, f"{table}/{key}")


def is_by_chance(given: Any) -> bool:
    """Whether an id tells nothing, so that another may stand for it."""
    return isinstance(given, UUID) and given.version not in _OF_A_NAME


def derived_key(create_id: Callable[..., Any], arguments: dict[str, Any]) -> str:
    """The key that follows from what is created.

    Raises:
        Invalid: none does.
    """
    try:
        key = str(create_id(**arguments))
    # Whatever it is, it is about the arguments; and whoever asks for a key can be told refusals alone.
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
