"""The error of a backup or a segment of the archive, for programs and for people."""

# Reasons for which nothing can be restored from a backup: it is not what was made.
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
# Reasons for which the latest is restored without a segment of the archive.
UNUSABLE_SEGMENT = UNUSABLE | {"segment_damaged", "forged", "foreign"}
# Reason for which a restore makes the tables anew: the log is sound, and the tables are not what it says.
TABLES_DIFFER = "tables_differ"


class BackupError(RuntimeError):
    """A backup cannot be used, or not be made; `reason` is one word for programs, `hint` says what to do.

    `backup` is where the damaged backup or segment is, where the caller could not know that.
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
        self.hint = hint
