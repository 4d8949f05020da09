"""The repairs that a service made by itself, recorded beside its store: to report them, and to limit them."""

from pathlib import Path

import msgspec

from bus.kept_files import write_private
from ops.targets.documents import Moment, Whole, decode_document
from ops.targets.regular_files import read_regular

FILE = "repairs.json"
DAY_MS = 24 * 3_600_000
# At most this many repairs in a day: a disk that damages new files again and again needs an operator.
MOST_IN_A_DAY = 3
_MAXIMUM_BYTES = 64 * 1024


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """One repair, recorded before it begins. `set_aside` is the place of the damaged file, once replaced."""

    at: Moment
    problem: str
    position: Whole
    set_aside: str | None = None


def repairs_of_a_day(data: Path, now_ms: int) -> list[Repair]:
    """The repairs of the last day, the newest last; empty if the record cannot be read."""
    try:
        kept = decode_document(read_regular(data / FILE, _MAXIMUM_BYTES), list[Repair])
    except (OSError, msgspec.DecodeError):
        return []
    return [one for one in kept if abs(now_ms - one.at) < DAY_MS]


def keep_repair(data: Path, repair: Repair) -> None:
    """Records a repair, on disk when this returns. It replaces the record of the same repair's beginning.

    Raises:
        OSError: the record cannot be written.
    """
    others = [one for one in repairs_of_a_day(data, repair.at) if one.at != repair.at]
    write_private(data / FILE, msgspec.json.encode([*others, repair]))
