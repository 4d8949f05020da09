"""`ClusterBucket`: the KV bucket in which members and the leader tell of themselves, in values that expire.

    put ──▶ the stream's leader: is the key's last sequence the expected one? ──▶ stored by a majority
                                                                                      │ repeated at once
    last ◀── the stream's leader                           on_stored ◀────────────────┘

Questions that decide something go to the stream's leader (`STREAM.MSG.GET`); `DIRECT.GET`, which any replica
answers, may be behind. When the time of a value is over, a *marker* follows it. It has a sequence of its own,
which the next writer must expect. The stream repeats each message on `cluster_changes`, which tells members
when to look; some of these may be lost. Times to live of single messages: NATS's ADR-43 and ADR-48, from
nats-server 2.11 on.

    ClusterError                   this process may not be a member as it is; `repair` says what to do
    ├── OldBrokerError             the nats-server is too old
    ├── AnotherStoresClusterError  the cluster is another store's
    ├── AnotherPrefixError         the cluster is another prefix's, whose streams have the same names
    ├── NameTakenError             a live member has the name (bus.replication.members)
    └── NoSuccessorError           the member that was named cannot lead next (bus.replication.members)
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import msgspec
import nats.errors

from bus.replication.log_stream import BEGIN_EMPTY, ensure_replicated
from bus.transport.jetstream import REQUEST_TIMEOUT_MS, JetStreamApi, JetStreamError, WrongSequenceError
from hyperpage_client.contract.stream_metadata import STORE_ID
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.transport.jetstream_answers import StreamReport

logger = logging.getLogger(__name__)

NEEDED_VERSION = (2, 11)
PREFIX = "hyperpage_prefix"
_TRIES = 3
# How long a marker stays. It is not needed for long: members only have to see it.
_MARKER_NS = 60 * 10**9
# How many keys are read at most, each by a request of its own; more than any cluster has members.
MAXIMUM_KEYS = 100
_MARKER_REASON = "Nats-Marker-Reason"
_OPERATION = "KV-Operation"


class ClusterError(RuntimeError):
    """This process may not be a member as it is; `repair` says what to do."""

    def __init__(self, problem: str, repair: str) -> None:
        super().__init__(f"{problem}; {repair}")
        self.problem = problem
        self.repair = repair


class OldBrokerError(ClusterError):
    """The nats-server is too old for a cluster."""


class AnotherStoresClusterError(ClusterError):
    """The cluster is another store's."""


class AnotherPrefixError(ClusterError):
    """The cluster is of another prefix, whose streams have the same names."""


class OthersEntryError(RuntimeError):
    """Another process has written `entry` under a key of this one."""

    def __init__(self, entry: "Entry") -> None:
        super().__init__(f"{entry.key} has message {entry.sequence}, which is another one's")
        self.entry = entry


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The last entry of a key: its value, empty if that has ended, and since when, by the broker's clock.

    `sequence` is what the next writer must expect; 0 if there is no entry.
    """

    key: str
    sequence: int = 0
    value: bytes = b""
    stored_at: datetime | None = None


class ClusterBucket:
    """The bucket of the cluster of `names`, over the relay's connection."""

    def __init__(self, connection: LeanClient, names: BusNames) -> None:
        self.name = names.cluster
        self._connection = connection
        self._api = JetStreamApi(connection)
        self._names = names
        self._stream = names.stream_of_bucket(names.cluster)
        self._subjects = f"$KV.{names.cluster}."

    async def prepare(self, *, store_id: str, replicas: int) -> None:
        """Makes the bucket with that many replicas, or finds it; 1 is for a nats-server that is no cluster.

        Raises:
            OldBrokerError: nats-server 2.11 is needed.
            AnotherStoresClusterError, AnotherPrefixError: it is not ours.
            TooFewReplicasError: the broker cannot keep that many.
            JetStreamError: it does not answer, or refuses; a cluster does so for seconds after its start.
        """
        self._require_version()

        def require_own(report: StreamReport) -> None:
            self._require_own(report, store_id)

        metadata = {STORE_ID: store_id, PREFIX: self._names.prefix}
        report = await ensure_replicated(self._api, self._config(metadata), replicas, require_own)
        if not report.config.get("allow_msg_ttl"):
            # The nats-server that made it is older than the one that this process is connected with.
            raise _too_old("the nats-server that made the bucket")

    async def store_id(self) -> str | None:
        """The store whose cluster this is; None if there is no cluster yet."""
        report = await self._api.report(self._stream)
        return None if report is None else report.metadata.get(STORE_ID)

    async def last(self, key: str) -> Entry:
        """The last entry of a key, as the stream's leader has it."""
        message = await self._api.last_message(self._stream, self._subjects + key)
        if message is None:
            return Entry(key=key)
        value = b"" if is_end(message.headers) else message.payload
        return Entry(key=key, sequence=message.sequence, value=value, stored_at=message.time)

    async def entries(self, keys: str) -> tuple[list[Entry], datetime | None]:
        """The last entries of all keys that match, without those that have ended, and the broker's time."""
        report = await self._api.report_with(self._stream, self._subjects + keys)
        if report is None:
            return [], None
        names = sorted(report.state.subjects)[:MAXIMUM_KEYS]
        entries = [await self.last(name.removeprefix(self._subjects)) for name in names]
        return [entry for entry in entries if entry.value], report.time

    async def put(
        self, key: str, value: bytes, *, expected: int, lives_seconds: int | None, timeout_ms: int
    ) -> int:
        """The sequence of a value, now written over the entry of sequence `expected`.

        Without `lives_seconds`, it stays until another value is written.

        Raises:
            WrongSequenceError: another entry is there; or this one, if it was sent before.
            UnansweredError: the value may be stored, now or soon. JetStreamError: it is not stored.
        """
        headers = {"Nats-Expected-Last-Subject-Sequence": str(expected)}
        if lives_seconds is not None:
            headers["Nats-TTL"] = f"{lives_seconds}s"
        return await self._api.store(self._subjects + key, value, headers, timeout_ms=timeout_ms)

    async def agreed(self, key: str, own: bytes) -> bytes:
        """The value that all members have under a key, for good: the one that the first of them gave.

        Raises:
            JetStreamError: the bucket does not answer.
        """
        entry = await self.last(key)
        if entry.value:
            return entry.value
        try:
            await self.put(
                key, own, expected=entry.sequence, lives_seconds=None, timeout_ms=REQUEST_TIMEOUT_MS
            )
        except WrongSequenceError:
            # Another member was quicker.
            return (await self.last(key)).value
        return own

    async def end(self, key: str, *, expected: int, timeout_ms: int) -> None:
        """Ends a value before its time; otherwise as `put`."""
        headers = {"Nats-Expected-Last-Subject-Sequence": str(expected), _OPERATION: "DEL", "Nats-TTL": "60s"}
        await self._api.store(self._subjects + key, b"", headers, timeout_ms=timeout_ms)

    async def put_over_own(
        self,
        key: str,
        value: bytes,
        *,
        expected: int,
        is_own: Callable[[Entry], bool],
        lives_seconds: int | None,
        timeout_ms: int,
    ) -> int:
        """As `put`, but also over a later entry that `is_own`: it may have been stored without an answer.

        Raises:
            OthersEntryError: another process's entry is there. UnansweredError, JetStreamError: as `put`.
        """
        for _ in range(_TRIES):
            try:
                return await self.put(
                    key, value, expected=expected, lives_seconds=lives_seconds, timeout_ms=timeout_ms
                )
            except WrongSequenceError:
                entry = await self.last(key)
                if not is_own(entry):
                    raise OthersEntryError(entry) from None
                expected = entry.sequence
        raise JetStreamError(f"the bucket {self.name} does not say what stands under {key}")

    @asynccontextmanager
    async def listening(self, on_stored: Callable[[Entry], None]) -> AsyncIterator[None]:
        """Calls `on_stored` with each entry that is stored, in order, by any process; it must not take long.

        Sequences follow each other without a gap, unless a message was lost on the way.
        """
        begin = len(self._names.cluster_changes) - 1

        def take(subject: str, _: str, headers: Mapping[str, str] | None, body: bytes) -> None:
            headers = headers or {}
            sequence = headers.get("Nats-Sequence", "")
            if sequence.isdecimal():
                value = b"" if is_end(headers) else body
                on_stored(Entry(key=subject[begin:], sequence=int(sequence), value=value))

        subscription = await self._connection.subscribe_direct(self._names.cluster_changes, handler=take)
        try:
            yield
        finally:
            try:
                await subscription.unsubscribe()
            except nats.errors.Error as error:
                logger.debug("there is nothing to unsubscribe from any more: %s", error)

    def _config(self, metadata: dict[str, str]) -> dict[str, Any]:
        return {
            "name": self._stream,
            "subjects": [f"{self._subjects}>"],
            "retention": "limits",
            "storage": "file",
            "max_msgs_per_subject": 1,
            "max_msgs": -1,
            "max_bytes": -1,
            "discard": "new",
            "allow_msg_ttl": True,
            "subject_delete_marker_ttl": _MARKER_NS,
            "allow_rollup_hdrs": True,
            "allow_direct": True,
            "deny_delete": True,
            "republish": {"src": f"{self._subjects}>", "dest": self._names.cluster_changes},
            "metadata": metadata,
        }

    def _require_version(self) -> None:
        version = self._connection.connected_server_version
        if (version.major, version.minor) < NEEDED_VERSION:
            said = f"{version.major}.{version.minor}.{version.patch}"
            raise _too_old(f"the nats-server, which is {said},")

    def _require_own(self, report: StreamReport, store_id: str) -> None:
        owner, prefix = report.metadata.get(STORE_ID), report.metadata.get(PREFIX)
        if prefix != self._names.prefix:
            raise AnotherPrefixError(
                f"the bucket {self.name} is of the prefix {prefix}, and this one is {self._names.prefix}",
                "take a prefix that differs in more than its punctuation",
            )
        if owner != store_id:
            raise AnotherStoresClusterError(
                f"the cluster {self.name} is of the store {owner}, and this one is {store_id}",
                BEGIN_EMPTY,
            )


def is_end(headers: Mapping[str, str]) -> bool:
    """Whether these are the headers of a message that ends a key's value."""
    return _MARKER_REASON in headers or headers.get(_OPERATION) in ("DEL", "PURGE")


def _too_old(what: str) -> OldBrokerError:
    needed = ".".join(map(str, NEEDED_VERSION))
    return OldBrokerError(
        f"{what} is too old for a cluster: values with a time to live ask for {needed} or newer",
        "update each nats-server of the cluster, one after the other",
    )
