"""`SharedBackups`: the newest proven backup of a store, on the nats-servers, where each member reaches it.

    the leader ── put, in chunks ──▶ the one object of an object store, as many copies as of the log
                                                     │ the one before is deleted once this one is whole
    a member without one that leads to the log ◀ get ┘

The object is one of NATS's ADR-20: nats-py reads and writes it, `nats object` shows it. The callers choose
its content, and check it.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase

import msgspec
import nats.errors
from nats.js.api import ObjectMeta
from nats.js.errors import APIError, DigestMismatchError, ObjectNotFoundError
from nats.js.object_store import ObjectStore

from bus.replication.cluster_bucket import AnotherStoresClusterError
from bus.replication.log_stream import ensure_replicated
from bus.transport.jetstream import JetStreamApi, JetStreamError
from hyperpage_client.contract.stream_metadata import STORE_ID
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.transport.jetstream_answers import StreamReport

NAME = "newest"
# The header of the object that has the description of the backup.
_DESCRIBED_BY = "Hyperpage-Metadata"
# A transfer may take this long, and a second more for each `BYTES_A_SECOND`: nats-py waits for ever for what
# was lost with a connection.
TRANSFER_SECONDS = 60.0
BYTES_A_SECOND = 1024 * 1024

logger = logging.getLogger(__name__)


class SharedBackup(msgspec.Struct, frozen=True, kw_only=True):
    """The backup on the nats-servers: the name of its file, its description, and its size in bytes.

    `content` is the subject of its chunks.
    """

    name: str
    metadata: str
    size: int
    content: str


class SharedBackups:
    """The object store of one store, over the relay's connection. All methods raise `JetStreamError`, too."""

    def __init__(self, connection: LeanClient, names: BusNames, store_id: str) -> None:
        self.name = names.backups
        self.stream = f"OBJ_{names.backups}"
        self._subjects = f"$O.{names.backups}."
        self._store_id = store_id
        self._connection = connection
        self._api = JetStreamApi(connection)
        self._context = connection.jetstream()
        self._objects = ObjectStore(names.backups, self.stream, self._context)

    async def prepare(self, replicas: int) -> None:
        """Makes the object store with that many replicas, or finds it.

        The caller of `put` decides how large a backup may be: each nats-server would set aside the room of a
        stream with a limit.

        Raises:
            AnotherStoresClusterError: it is another store's.
            TooFewReplicasError: the broker cannot keep that many.
        """
        config = {
            "name": self.stream,
            "subjects": [f"{self._subjects}C.>", f"{self._subjects}M.>"],
            "retention": "limits",
            "storage": "file",
            "compression": "s2",
            "discard": "new",
            "allow_rollup_hdrs": True,
            "allow_direct": True,
            "metadata": {STORE_ID: self._store_id},
        }
        await ensure_replicated(self._api, config, replicas, self._require_own)

    async def newest(self) -> SharedBackup | None:
        """The present backup, if it is whole by the number of its chunks; None if there is none.

        Raises:
            AnotherStoresClusterError: it is another store's.
        """
        if (report := await self._api.report(self.stream)) is None:
            return None
        self._require_own(report)
        with self._explained("looking at"):
            try:
                found = await self._objects.get_info(NAME)
            except ObjectNotFoundError:
                return None
        content = f"{self._subjects}C.{found.nuid}"
        described = (found.headers or {}).get(_DESCRIBED_BY) or [""]
        counted = (await self._chunks()).get(content, 0)
        if not found.size or counted != found.chunks:
            logger.warning("%s in %s has lost some of its content", found.description, self.name)
            return None
        return SharedBackup(
            name=found.description or "", metadata=described[0], size=found.size, content=content
        )

    async def put(self, name: str, metadata: str, file: BufferedIOBase, size: int) -> None:
        """Stores a backup of `size` bytes, and then deletes the one before it.

        Raises:
            JetStreamError: it was not stored, for want of room, say; the one before is still there.
        """
        described = ObjectMeta(name=NAME, description=name, headers={_DESCRIBED_BY: [metadata]})
        with self._explained("putting a backup into"):
            # The chunks of a `put` that never ended would stay for ever.
            before = await self.newest()
            for left in (await self._chunks()).keys() - {before and before.content}:
                await self._context.purge_stream(self.stream, subject=left)
            async with asyncio.timeout(TRANSFER_SECONDS + size / BYTES_A_SECOND):
                await self._objects.put(NAME, file, described)

    async def get(self, backup: SharedBackup, file: BufferedIOBase) -> bool:
        """Whether the content of a backup, now written into `file`, is as it was stored, by its digest.

        Raises:
            JetStreamError: the backup was replaced since `newest` found it, or cannot be read.
        """
        with self._explained("reading a backup from"):
            try:
                async with asyncio.timeout(TRANSFER_SECONDS + backup.size / BYTES_A_SECOND):
                    found = await self._objects.get(NAME, file)
            except DigestMismatchError:
                return False
        if f"{self._subjects}C.{found.info.nuid}" != backup.content:
            raise JetStreamError(f"{backup.name} in {self.name} was replaced meanwhile", "try again")
        return True

    async def _chunks(self) -> dict[str, int]:
        """How many chunks each object has, by the subject of its chunks."""
        report = await self._api.report_with(self.stream, f"{self._subjects}C.>")
        return {} if report is None else dict(report.state.subjects)

    def _require_own(self, report: StreamReport) -> None:
        owner = report.metadata.get(STORE_ID)
        if owner != self._store_id:
            raise AnotherStoresClusterError(
                f"the object store {self.name} has backups of the store {owner}, and this one is"
                f" {self._store_id}",
                f"delete the stream {self.stream}, if nobody has that store any more",
            )

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        problem = f"{what} the object store {self.name}"
        try:
            yield
        except APIError as error:
            raise JetStreamError(
                f"{problem} failed: {error.description}", "have room for it on the nats-servers"
            ) from error
        except (nats.errors.Error, TimeoutError) as error:
            # nats-py gives a violation in lower case.
            if self._subjects.lower() in (violation := self._connection.last_violation or ""):
                raise JetStreamError(
                    f"{problem} failed: {violation}",
                    "have the nats-servers read what `hyperpage nats-config` writes now",
                ) from error
            raise JetStreamError(
                f"{problem} failed: {type(error).__name__} {error}".rstrip(),
                f"if it stays so, delete the stream {self.stream}: who leads makes it again",
            ) from error
