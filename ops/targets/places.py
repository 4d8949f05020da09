"""The places of everything that a restore needs."""

from pathlib import Path

import msgspec

from ops.targets.sealing import Sealing
from ops.targets.signing import ANYBODYS, Signing
from ops.targets.target import Place


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """The places of the store, its backups and its archive, and how these are sealed and signed."""

    store: Path
    backups: Place
    archive: Place
    sealing: Sealing = Sealing()
    signing: Signing = ANYBODYS
