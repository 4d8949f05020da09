"""A store whose backups and archive are in a bucket."""

from pathlib import Path

from ops.targets.bucket import bucket_path
from ops.targets.places import Places
from ops.targets.sealing import Sealing
from tests.support.machines.bucket_server import BucketServer
from tests.support.stores.archived import Archived


class InBucket(Archived):
    """A store whose backups and archive are in a bucket of its own."""

    def __init__(
        self,
        folder: Path,
        server: BucketServer,
        sealing: Sealing = Sealing(),  # noqa: B008 - nothing changes it
        endpoint: str | None = None,
    ) -> None:
        self.address = server.new_bucket()
        backups, archive = (
            bucket_path(f"{self.address}/{name}", endpoint=endpoint or server.endpoint, staging=folder / name)
            for name in ("backups", "archive")
        )
        super().__init__(
            folder,
            places=Places(store=folder / "hyperpage.db", backups=backups, archive=archive, sealing=sealing),
        )
