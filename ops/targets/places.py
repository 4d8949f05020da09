"""Where things are that a restore needs."""

from pathlib import Path

import msgspec

from ops.targets.sealing import Sealing
from ops.targets.signing import ANYBODYS, Signing
from ops.targets.target import Place


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where things are: the store, the folders of its backups and archive; how those are sealed, signed."""

    store: Path
    backups: Place
    archive: Place
    sealing: Sealing = Sealing()
    signing: Signing = ANYBODYS
