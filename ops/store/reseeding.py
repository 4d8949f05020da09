"""A store's file that its operator gives up for what the cluster's log says: asked for, done at a start."""

from pathlib import Path

import msgspec

from bus.kept_files import write_private
from bus.log.chain import Head
from ops.targets.documents import decode_document

_FILE = "reseed.json"


def ask_reseed(data: Path, head: Head) -> None:
    """Has the next start make the file anew that ends with `head`; no other one."""
    write_private(data / _FILE, msgspec.json.encode(head))


def reseed_asked(data: Path) -> Head | None:
    """The end of the file that is to be made anew; `None`: nobody has asked."""
    try:
        return decode_document((data / _FILE).read_bytes(), Head)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def forget_reseed(data: Path) -> None:
    """It is done, or it was for a file that is no more."""
    (data / _FILE).unlink(missing_ok=True)
