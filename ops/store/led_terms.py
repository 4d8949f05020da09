"""The last term that a store led with a log that trails: the file has all that was answered in it.

It is kept beside the file, and forgotten as soon as the file takes anything from the log: then it had less
than was answered, as one has that was made anew, or that is a copy from before.
"""

from pathlib import Path

import msgspec

from bus.kept_files import write_private
from ops.targets.documents import decode_document

_FILE = "led.json"


class Led(msgspec.Struct, frozen=True):
    """A term, in the log that was made with that sequence."""

    term: int
    made_at: int


def note_led(data: Path, led: Led) -> None:
    """Says that the file has all that is answered from now on in a term; on disk when this returns."""
    write_private(data / _FILE, msgspec.json.encode(led))


def led_last(data: Path) -> Led | None:
    """The term of which the file has all, if there is one."""
    try:
        return decode_document((data / _FILE).read_bytes(), Led)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def forget_led(data: Path) -> None:
    """The file is no more that of who led."""
    (data / _FILE).unlink(missing_ok=True)
