"""What is wrong with a backup or a segment of the archive, for programs and for people."""

# Reasons that say of a backup that it is not what was made: nothing can be restored from it.
UNUSABLE = frozenset(
    ("size_differs", "checksum_differs", "damaged", "content_differs", "chain_broken", "unknown_format")
)
# The log is sound, and a restore makes the tables anew from it.
TABLES_DIFFER = "tables_differ"


class BackupError(RuntimeError):
    """A backup cannot be used, or not be made; `reason` is one word for programs, `hint` says what to do.

    `backup` is where the one is that it is about, as far as who catches this could not know.
    Reasons: `not_found`, `no_metadata`, `metadata_damaged`, `unknown_format`, `size_differs`,
    `checksum_differs`, `damaged`, `content_differs`, `chain_broken`, `foreign`, `tables_differ`,
    `unreachable_moment`, `segment_damaged`, `encrypted`.
    """

    def __init__(self, reason: str, message: str, hint: str = "", *, backup: str = "") -> None:
        super().__init__(message)
        self.backup = backup
        self.reason = reason
        self.message = message
        self.hint = hint
