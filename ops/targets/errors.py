"""The error of a backup or a segment of the archive, for programs and for people."""

# Reasons for which a backup cannot be restored: it is not the file that was made.
UNUSABLE = frozenset(
    (
        "size_differs",
        "checksum_differs",
        "damaged",
        "schema_differs",
        "content_differs",
        "chain_broken",
        "unknown_format",
    )
)
# Reasons for which a restore to the latest goes on without a segment of the archive.
UNUSABLE_SEGMENT = UNUSABLE | {"segment_damaged", "forged", "foreign"}
# Reason for which a restore rebuilds the tables: the log is sound, but the tables are not what it says.
TABLES_DIFFER = "tables_differ"

_ANOTHER = (
    "nothing was changed: use another one (`hyperpage backup list`), or all that is sound with `hyperpage"
    " backup restore --latest`; keep this one until another is proven (`hyperpage backup drill`)"
)
# The hints for errors that are raised without one, by their reason.
_USUAL_HINTS = {
    "not_found": "nothing was changed: `hyperpage backup list` lists what there is",
    "metadata_damaged": (
        "bring the metadata back, from a copy of the folder say, or use another backup; keep the file: it may"
        " be a whole database"
    ),
    "schema_differs": _ANOTHER,
    "unknown_format": "nothing was changed: use the version of the program that wrote it",
    "foreign": "nothing was changed: choose one of this store, or another folder",
    "tables_differ": "its log is sound: a restore makes the tables anew from it",
    "unreachable_moment": (
        "nothing was changed: `hyperpage backup restore --latest --dry-run` says what can be had"
    ),
    "segment_damaged": (
        "keep the file: where the store is well, move the segment away, and the service writes it again at"
        " its next start; else `hyperpage backup restore --latest --dry-run` says what can be had without it"
    ),
}


class BackupError(RuntimeError):
    """A backup cannot be used or made; `reason` is one word for programs, `hint` says what to do.

    Without a `hint`, it gets the usual one for its reason: no hint is empty.
    `backup` is the place of the damaged backup or segment, where the caller could not know that.
    Reasons: `not_found`, `no_metadata`, `metadata_damaged`, `unknown_format`, `size_differs`,
    `checksum_differs`, `damaged`, `schema_differs`, `content_differs`, `chain_broken`, `foreign`,
    `tables_differ`, `unreachable_moment`, `segment_damaged`, `encrypted`, `forged`, `unsigned`, `untrusted`,
    `no_signing_key`.
    """

    def __init__(self, reason: str, message: str, hint: str = "", *, backup: str = "") -> None:
        super().__init__(message)
        self.backup = backup
        self.reason = reason
        self.message = message
        self.hint = hint or _USUAL_HINTS.get(reason, _ANOTHER)
