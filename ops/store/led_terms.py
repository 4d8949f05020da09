"""The last term in which a member led with a log that trails: its file has all that was answered in the term.

The note is kept beside the file, and removed as soon as the file takes anything from the log: then the file
lacked answered events, for example because it was made anew, or is an older copy.
"""

from pathlib import Path

import msgspec

from bus.kept_files import write_private
from ops.targets.documents import decode_document

_FILE = "led.json"


class Led(msgspec.Struct, frozen=True):
    """A term in a log. `made_at` is the sequence with which that log was made."""

    term: int
    made_at: int


def note_led(data: Path, led: Led) -> None:
    """Notes that the file has all that is answered from now on in a term; on disk when this returns."""
    write_private(data / _FILE, msgspec.json.encode(led))


def led_last(data: Path) -> Led | None:
    """The term of which the file has all answered events, if there is one."""
    try:
        return decode_document((data / _FILE).read_bytes(), Led)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def forget_led(data: Path) -> None:
    """Removes the note: the file is no longer known to have all answered events of a term."""
    (data / _FILE).unlink(missing_ok=True)
