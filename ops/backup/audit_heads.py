"""The heads of the audit log that backups keep, each from when the backup was made: `kept_heads`."""

from contextlib import suppress
from pathlib import Path

from ops.audit.entry import Head, head_in
from ops.audit.files import AuditError
from ops.audit.trail import AuditTrail
from ops.audit.verification import KeptHead
from ops.backup.metadata import list_backups
from ops.targets.signing import Signing
from ops.targets.target import Place


def head_beside(store: Path) -> str:
    """The head of the audit log beside a store, as metadata write it; empty if none can be read."""
    # A backup is made all the same; a broken audit log is reported elsewhere.
    with suppress(AuditError):
        head = AuditTrail(store.parent).head()
        return "" if head == Head() else str(head)
    return ""


def kept_heads(folder: Place, store_id: str, signing: Signing) -> tuple[KeptHead, ...]:
    """The heads that the backups of a store keep, taken from backups with a trusted signature alone.

    Raises:
        OSError: the folder cannot be read, or the bucket is away.
    """
    return tuple(
        KeptHead(head=head, at=one.metadata.timestamp, where=one.name)
        for one in list_backups(folder, store_id, signing)
        if one.signature.is_trusted and (head := head_in(one.metadata.audit_head)) is not None
    )
