"""The operator's request to make a member's file anew from the cluster's log, at its next start."""

from pathlib import Path

import msgspec

from bus.kept_files import write_private
from bus.log.chain import Head
from ops.targets.documents import decode_document

_FILE = "reseed.json"


def ask_reseed(data: Path, head: Head) -> None:
    """Asks the next start to make the file anew, provided that the file still ends with `head`."""
    write_private(data / _FILE, msgspec.json.encode(head))


def reseed_asked(data: Path) -> Head | None:
    """The end of the file that is to be made anew; `None` if there is no request."""
    try:
        return decode_document((data / _FILE).read_bytes(), Head)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def forget_reseed(data: Path) -> None:
    """Removes the request: it is carried out, or its file is gone."""
    (data / _FILE).unlink(missing_ok=True)
