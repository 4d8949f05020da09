"""A line of the audit log: `Entry`. Each carries the hash of the one before and its own.

{"sequence":7,…,"previous":"<hash of line 6>","hash":"<SHA-256 of this line without its last member>"}

So the hash of the last line, the head, vouches for all lines before it. An attacker who rewrites all lines is
found out only if the head is known elsewhere, too.
"""

import hashlib
import re

import msgspec

from bus.contract import codec
from bus.serving.audit import Act, AuditOutcome
from domain.credentials.scanning import kind_of_text
from ops.targets.documents import decode_document

# The longest texts of a line; longer ones are cut.
MAXIMUM_NAME_CHARACTERS = 128
MAXIMUM_REQUEST_CHARACTERS = 1_000
# The longest line: each character of its texts may take six bytes.
MAXIMUM_LINE_BYTES = 16 * 1024
WITHHELD = "withheld: it looks as if it holds a credential"

_HASH = re.compile(rb',"hash":"([0-9a-f]{64})"\}\Z')
_HEAD = re.compile(r"(?:(?P<sequence>[0-9]{1,15}):)?(?P<hash>[0-9a-f]{64})")
_NO_HASH = "0" * 64


class Head(msgspec.Struct, frozen=True):
    """The last line: its number, from 1 on, and its hash, hexadecimal. The log begins behind `Head()`.

    Written as `7:9f86d0…`.
    """

    sequence: int = 0
    hash: str = _NO_HASH

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"


def head_in(text: str) -> Head | None:
    """The head that a text names, or `None` if it names none. Number 0: the text has a hash alone."""
    found = _HEAD.fullmatch(text.strip().lower())
    return None if found is None else Head(int(found["sequence"] or 0), found["hash"])


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the audit log. `at` is in milliseconds since the epoch.

    `actor` is the name that the caller gave, `principal` the token or user that authenticated the caller,
    `None` if there was none. `code` says why the act was refused or failed, `request` what was asked for, in
    short. `dry_run` marks acts that were only tried, and changed nothing.
    """

    sequence: int
    at: int
    actor: str
    principal: str | None
    via: str
    address: str | None
    action: str
    request: str
    outcome: AuditOutcome
    code: str | None
    previous: str
    dry_run: bool = False


class Line(msgspec.Struct, frozen=True):
    """A line as it was read, with its own hash."""

    entry: Entry
    hash: str

    @property
    def head(self) -> Head:
        """The head of a log that ends with this line."""
        return Head(self.entry.sequence, self.hash)


class LineError(ValueError):
    """The bytes are no line of the log, or the line was changed; the message says which."""


def line_of(act: Act, head: Head) -> tuple[bytes, Head]:
    """The line of an act that follows a head, with its newline, and the new head. No credential is in it."""
    actor = act.actor
    entry = Entry(
        sequence=head.sequence + 1,
        at=act.at,
        actor=_harmless(actor.name, MAXIMUM_NAME_CHARACTERS),
        principal=_harmless_or_none(actor.principal),
        via=actor.via,
        address=_harmless_or_none(actor.address),
        action=_harmless(act.action, MAXIMUM_NAME_CHARACTERS),
        request=_harmless(act.request, MAXIMUM_REQUEST_CHARACTERS),
        outcome=act.outcome,
        code=_harmless_or_none(act.code),
        previous=head.hash,
        dry_run=act.dry_run,
    )
    body = msgspec.json.encode(entry)
    own_hash = hashlib.sha256(body).hexdigest()
    return body[:-1] + f',"hash":"{own_hash}"}}\n'.encode(), Head(entry.sequence, own_hash)


def read_line(line: bytes) -> Line:
    """The line that these bytes hold, given without their newline.

    Raises:
        LineError: the bytes are no line, or don't match their hash.
    """
    found = _HASH.search(line)
    if found is None:
        raise LineError("it is no line of the audit log")
    body = line[: found.start()] + b"}"
    own_hash = found[1].decode()
    if hashlib.sha256(body).hexdigest() != own_hash:
        raise LineError("it was changed: its hash does not fit")
    try:
        return Line(decode_document(body, Entry), own_hash)
    except msgspec.DecodeError as error:
        raise LineError("it is no line of the audit log") from error


def _harmless_or_none(text: str | None) -> str | None:
    return None if text is None else _harmless(text, MAXIMUM_NAME_CHARACTERS)


def _harmless(text: str, most: int) -> str:
    # The whole text is checked before it is cut: the beginning of a credential may not look like one.
    if kind_of_text(text) is not None or codec.findings_in(text.encode("utf-8", "replace")):
        return WITHHELD
    # Lone surrogates, from the name of a user for instance, cannot be written as UTF-8.
    return text[:most].encode("utf-8", "replace").decode()
