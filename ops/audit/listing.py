"""A search for lines of the audit log, newest first: `listed`."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec

from bus.contract.codec import MAXIMUM_ANSWER_BYTES
from domain.messages import Time
from ops.audit.entry import Entry, Line, LineError, read_line
from ops.audit.files import AuditError, AuditFile, files_in, opened

# How many lines are read for one answer; the next request goes on after them.
MAXIMUM_LOOKED_AT = 100_000
# Room for `,"hash":"<64 digits>"`, fields with defaults, and the comma after an item, beside the entry.
_ENVELOPE_BYTES = 96


class ListAudit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The lines to list: those that match every field that is given. Times are milliseconds since the epoch.

    `action` is a whole name, or a beginning with a `*` behind it; `actor` is the actor or the principal.
    `after` is the `next` of the last answer.
    """

    since: Time | None = None
    until: Time | None = None
    action: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    actor: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 100
    after: Annotated[int, msgspec.Meta(ge=0, le=2**62)] | None = None

    def fits(self, entry: Entry) -> bool:
        """Whether a line matches every field."""
        return (
            (self.since is None or entry.at >= self.since)
            and (self.until is None or entry.at <= self.until)
            and (self.action is None or _is_named(entry.action, self.action))
            and (self.actor is None or self.actor in (entry.actor, entry.principal))
        )


def listed(folder: Path, wish: ListAudit) -> dict[str, Any]:
    """The `items`, newest first, each with its `hash`; `next` is where the list goes on, `None` at its end.

    Damaged lines are left out: `verify` finds them.

    Raises:
        AuditError: the log cannot be read.
    """
    items: list[dict[str, Any]] = []
    size_bytes, last = 0, wish.after
    for looked_at, line in enumerate(_backwards(folder, wish.after)):
        if looked_at == MAXIMUM_LOOKED_AT:
            return {"items": items, "next": last}
        if wish.fits(line.entry):
            size_bytes += len(msgspec.json.encode(line.entry)) + _ENVELOPE_BYTES
            if len(items) == wish.limit or size_bytes > MAXIMUM_ANSWER_BYTES:
                return {"items": items, "next": last}
            items.append({**msgspec.structs.asdict(line.entry), "hash": line.hash})
        last = line.entry.sequence
    return {"items": items, "next": None}


def _backwards(folder: Path, before: int | None) -> Iterator[Line]:
    """The lines before a number, or all if it is `None`, newest first."""
    for file in reversed(files_in(folder)):
        try:
            content = _content(file)
        except FileNotFoundError:
            # The oldest files were pruned meanwhile.
            return
        except OSError as error:
            raise AuditError(error.errno, str(error.strerror or error), str(file.path)) from error
        for raw in reversed(content.split(b"\n")):
            try:
                line = read_line(raw)
            except LineError:
                continue
            if before is None or line.entry.sequence < before:
                yield line


def _content(file: AuditFile) -> bytes:
    with opened(file.path, os.O_RDONLY) as descriptor, open(descriptor, "rb", closefd=False) as reader:
        return reader.read(file.size_bytes)


def _is_named(action: str, said: str) -> bool:
    return action.startswith(said[:-1]) if said.endswith("*") else action == said
