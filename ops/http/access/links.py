"""Links that log a browser in once: `LogInLinks`. Any user who may write in the data directory can make one.

Each link is a file in `DIR/log-ins` with the hash of its code. Deleting the file uses up the link, so of two
requests with the same code only one succeeds, also across a restart.
"""

import hmac
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from bus.kept_files import make_folder, write_private
from hyperpage_client.identifiers import new_id
from ops.http.access.roles import Role
from ops.http.access.tokens import hash_of
from ops.store.data_directory import read_private
from ops.targets.documents import decode_document

FOLDER = "log-ins"
PATH = "/console/login"
PARAMETER = "code"
LIFETIME_MS = 10 * 60 * 1000
# How many unused links there may be; a new one replaces the oldest.
MAXIMUM_LINKS = 16
_MAXIMUM_FILE_BYTES = 4_096


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A link as it is kept, without its code. Times are milliseconds since the epoch."""

    hash: str
    """SHA-256 of the code, hexadecimal."""
    role: Role
    created_at: int
    created_by: str
    """The user at the command line."""

    def is_good(self, now: int) -> bool:
        """Whether the link is valid now. One from the future is not: the clock was set back."""
        return 0 <= now - self.created_at < LIFETIME_MS


class LogInLinks:
    """The links of a data directory that were not used yet. `clock` is in milliseconds since the epoch."""

    def __init__(self, data: Path, *, clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._folder = data / FOLDER
        self._clock = clock

    def create(self, *, by: str, role: Role = "admin") -> str:
        """The code of a new link, which is stored nowhere.

        Raises:
            OSError: the folder cannot be written.
        """
        make_folder(self._folder)
        kept = sorted(self._folder.iterdir())
        for old in kept[: max(0, len(kept) + 1 - MAXIMUM_LINKS)]:
            old.unlink(missing_ok=True)
        code = secrets.token_urlsafe(32)
        link = Link(hash=hash_of(code), role=role, created_at=self._clock(), created_by=by)
        # Ids are in the order of time, so the oldest files come first by name.
        write_private(self._folder / new_id(), msgspec.json.encode(link))
        return code

    def use(self, code: str) -> Link | None:
        """The link with this code, if there is one that is not too old; this uses it up."""
        wanted, found = hash_of(code), None
        for path, link in self._kept():
            if hmac.compare_digest(wanted, link.hash):
                found = path, link
        if found is None:
            return None
        path, link = found
        try:
            path.unlink()
        except OSError:
            # Another request used it first; or the file cannot be deleted, so the link must not count.
            return None
        return link if link.is_good(self._clock()) else None

    def _kept(self) -> Iterator[tuple[Path, Link]]:
        try:
            paths = sorted(self._folder.iterdir())
        except OSError:
            return
        for path in paths[:MAXIMUM_LINKS]:
            try:
                content = read_private(path, at_most_bytes=_MAXIMUM_FILE_BYTES)
                yield path, decode_document(content, Link)
            except (OSError, msgspec.DecodeError):
                continue


def address_of_link(http_url: str, code: str) -> str:
    """The address that a browser opens."""
    return f"{http_url}{PATH}?{PARAMETER}={code}"
