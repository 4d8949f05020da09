"""JetStream's answers, read in one place for all callers.

https://docs.nats.io/reference/reference-protocols/nats_api_reference
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from hyperpage_client.documents import decoded
from hyperpage_client.transport.protocol import decode_headers

# JetStream's own numbers of errors.
INSUFFICIENT_RESOURCES = 10023
STORAGE_EXCEEDED = 10047
# Too few nats-servers for so many replicas; replicas without a cluster.
NO_PEERS = {10005, 10074}
# A full stream is known by these words, since its number (10077) has other meanings, too.
FULL = ("maximum bytes exceeded", "maximum messages exceeded")
NO_STREAM = 10059
NO_MESSAGE = 10037
WRONG_LAST_SEQUENCE = 10071


class ApiError(msgspec.Struct, frozen=True):
    """The reason why JetStream did not do something."""

    err_code: int = 0
    description: str = ""


class StreamCounts(msgspec.Struct, frozen=True):
    """How far a stream has come. `last_seq` stays as it is when messages are deleted.

    `num_deleted` counts messages that are gone from between others, `num_subjects` the subjects of those that
    are there; `subjects` how many there are on each, where that was asked for.
    """

    messages: int = 0
    bytes: int = 0
    first_seq: int = 0
    last_seq: int = 0
    num_deleted: int = 0
    num_subjects: int = 0
    consumer_count: int = 0
    subjects: Mapping[str, int] = {}


class StreamCopy(msgspec.Struct, frozen=True, rename={"silent_ns": "active"}):
    """One nats-server's copy of a stream, as the leader sees it: its lag, and how long it is silent."""

    name: str
    current: bool = False
    offline: bool = False
    lag: int = 0
    silent_ns: int = 0


class StreamCluster(msgspec.Struct, frozen=True):
    """The nats-servers that keep a stream: the leader, empty if there is none, and the other copies."""

    leader: str = ""
    replicas: list[StreamCopy] | None = None


class StreamReport(msgspec.Struct, frozen=True, rename={"time": "ts"}):
    """The state of a stream at a `time`. `created` differs if it was made anew.

    `cluster` is there only if the nats-servers are a cluster.
    """

    config: dict[str, Any]
    created: str
    state: StreamCounts
    time: datetime | None = None
    cluster: StreamCluster | None = None

    @property
    def metadata(self) -> dict[str, str]:
        return self.config.get("metadata") or {}

    @property
    def is_replicated(self) -> bool:
        """Whether it is on several nats-servers."""
        return int(self.config.get("num_replicas", 1)) > 1


class StoredMessage(msgspec.Struct, frozen=True):
    """A message in a stream, with the time at which it was stored, where that was told."""

    sequence: int
    subject: str
    payload: bytes = b""
    headers: Mapping[str, str] = {}
    time: datetime | None = None


class Stored(msgspec.Struct, frozen=True):
    """The answer to a message that was published: at which sequence it is stored, or why it is not."""

    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: ApiError | None = None


class _Message(msgspec.Struct):
    seq: int
    subject: str
    data: bytes = b""
    hdrs: bytes = b""
    time: datetime | None = None


class _Answer(msgspec.Struct):
    error: ApiError | None = None
    message: _Message | None = None


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_stored = msgspec.json.Decoder(Stored).decode

decode_report = msgspec.json.Decoder(StreamReport).decode


def error_in(answer: bytes) -> ApiError | None:
    """Why JetStream refuses; None where it does not."""
    return _decode_answer(answer).error


def message_in(answer: bytes) -> StoredMessage | None:
    """The message that was asked for; None where there is none."""
    found = _decode_answer(answer).message
    if found is None:
        return None
    return StoredMessage(found.seq, found.subject, found.data, decode_headers(found.hdrs), found.time)


def stored(headers: Mapping[str, str] | None, body: bytes) -> Stored:
    """The answer to a message that was published, from the headers and the body of the answer."""
    if headers and headers.get("Status") == "503":
        return Stored(error=ApiError(NO_STREAM, "no stream takes the message"))
    try:
        return decoded(_decode_stored, body)
    except msgspec.DecodeError as error:
        return Stored(error=ApiError(0, f"the answer is not JetStream's ({error})"))
