"""Where things are that a restore needs."""

from pathlib import Path

import msgspec


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where things are: the store, the folder of its backups, that of its archive."""

    store: Path
    backups: Path
    archive: Path
