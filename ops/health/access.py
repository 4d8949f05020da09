"""Who is let in over HTTP, as far as an operator has to know it; and what else should be known: notes."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from ops.backup.restoring.repairs import Repair


class AccessStanding(msgspec.Struct, frozen=True, kw_only=True):
    """Whether nobody needs a token, and why tokens that were made are not known."""

    is_open: bool = False
    problem: str | None = None


class Note(msgspec.Struct, frozen=True):
    """What is no cause of a bad health, and should be known all the same. `note` is a name that stays.

    One that does not `wants_doing` is well as it is, and nobody is called for it.
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
    """That the store was damaged and made anew: for a day, or until the damaged file is gone."""
    for one in repairs:
        if one.set_aside is not None and Path(one.set_aside).exists():
            yield Note(
                "store_repaired",
                f"the store was damaged, and made anew up to its last position {one.position}: {one.problem}",
                f"see to its disk; move or delete the damaged file, {one.set_aside}, and this is gone",
            )
