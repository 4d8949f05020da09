"""The standing of HTTP's access control, for the operator; and notes on a service that may be healthy."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from ops.backup.restoring.repairs import Repair


class AccessStanding(msgspec.Struct, frozen=True, kw_only=True):
    """`is_open`: HTTP needs no token. `problem`: why the tokens that were made cannot be read."""

    is_open: bool = False
    problem: str | None = None


class Note(msgspec.Struct, frozen=True):
    """A fact that operators should know, though it is no cause of bad health. `note` is a name that stays.

    Without `wants_doing`, there is nothing to do about it, and no alert is raised.
    """

    note: str
    message: str
    hint: str
    wants_doing: bool = True


APP_SHARED = Note(
    "app_shared",
    "several programs connect as the user app: each can read and do all that the others can",
    "make each a user of its own with `hyperpage user create`",
)
HTTP_OPEN = Note(
    "http_open",
    "HTTP is open: no token is needed, and whoever reaches it on this machine, or through a proxy,"
    " may do everything",
    "start it without --http-open, and make tokens with `hyperpage token create`",
)


def repair_notes(repairs: Iterable[Repair]) -> Iterator[Note]:
    """Notes that the store was damaged and made anew: for a day, or until the damaged file is gone."""
    for one in repairs:
        if one.set_aside is not None and Path(one.set_aside).exists():
            yield Note(
                "store_repaired",
                f"the store was damaged, and made anew up to its last position {one.position}: {one.problem}",
                f"see to its disk; move or delete the damaged file, {one.set_aside}, and this is gone",
            )
