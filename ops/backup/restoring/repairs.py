"""What a service has repaired by itself, kept beside its store: it is told, and not done over and over."""

from pathlib import Path

import msgspec

from bus.kept_files import write_private
from ops.targets.documents import Moment, Whole, decode_document
from ops.targets.regular_files import read_regular

FILE = "repairs.json"
DAY_MS = 24 * 3_600_000
# How many there may be in a day: a disk that damages what was just written needs somebody who looks at it.
MOST_IN_A_DAY = 3
_MAXIMUM_BYTES = 64 * 1024


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """One repair, from before it is begun: `set_aside` is where the damaged file is, once it was replaced."""

    at: Moment
    problem: str
    position: Whole
    set_aside: str | None = None


def repairs_of_a_day(data: Path, now_ms: int) -> list[Repair]:
    """The repairs of the last day, the newest last; none where the record cannot be read."""
    try:
        kept = decode_document(read_regular(data / FILE, _MAXIMUM_BYTES), list[Repair])
    except (OSError, msgspec.DecodeError):
        return []
    return [one for one in kept if abs(now_ms - one.at) < DAY_MS]


def keep_repair(data: Path, repair: Repair) -> None:
    """Keeps a repair, on disk when this returns; in the place of the same one as it was begun.

    Raises:
        OSError: it cannot be written.
    """
    others = [one for one in repairs_of_a_day(data, repair.at) if one.at != repair.at]
    write_private(data / FILE, msgspec.json.encode([*others, repair]))
