"""The keys of backups and archives that are sealed."""

import pyrage

from ops.targets.sealing import Sealing

KEY = pyrage.x25519.Identity.generate()
PUBLIC = str(KEY.to_public())
SEALED = Sealing("zstd", (PUBLIC,))
