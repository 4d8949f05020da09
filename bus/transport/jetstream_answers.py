"""JetStream's answers, read in one place for everybody who asks it.

https://docs.nats.io/reference/reference-protocols/nats_api_reference
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from bus.documents import decoded

# JetStream's own numbers for what went wrong.
INSUFFICIENT_RESOURCES = 10023
STORAGE_EXCEEDED = 10047
# The numbers of what a stream refuses have other meanings, too (10077); these are its words.
FULL = ("maximum bytes exceeded", "maximum messages exceeded")
NO_STREAM = 10059
NO_MESSAGE = 10037
WRONG_LAST_SEQUENCE = 10071


class ApiError(msgspec.Struct, frozen=True):
    """Why JetStream did not do something."""

    err_code: int = 0
    description: str = ""


class StreamCounts(msgspec.Struct, frozen=True):
    """How far a stream has come. `last_seq` stays where it is when messages go.

    `num_deleted` counts messages that are gone from between others, `num_subjects` the subjects of those that
    are there.
    """

    messages: int = 0
    bytes: int = 0
    first_seq: int = 0
    last_seq: int = 0
    num_deleted: int = 0
    num_subjects: int = 0
    consumer_count: int = 0


class StreamReport(msgspec.Struct, frozen=True):
    """The state of a stream. `created` differs if it was made anew."""

    config: dict[str, Any]
    created: str
    state: StreamCounts

    @property
    def metadata(self) -> dict[str, str]:
        return self.config.get("metadata") or {}


class StoredMessage(msgspec.Struct, frozen=True, rename={"sequence": "seq", "payload": "data"}):
    """A message in a stream."""

    sequence: int
    subject: str
    payload: bytes = b""
    headers: Mapping[str, str] = {}


class Stored(msgspec.Struct, frozen=True):
    """The answer to a message that was published: at which sequence it is stored, or why it is not."""

    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: ApiError | None = None


class _Answer(msgspec.Struct):
    error: ApiError | None = None
    message: StoredMessage | None = None


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_stored = msgspec.json.Decoder(Stored).decode

decode_report = msgspec.json.Decoder(StreamReport).decode


def error_in(answer: bytes) -> ApiError | None:
    """Why JetStream refuses; None where it does not."""
    return _decode_answer(answer).error


def message_in(answer: bytes) -> StoredMessage | None:
    """The message that was asked for; None where there is none."""
    return _decode_answer(answer).message


def stored(headers: Mapping[str, str] | None, body: bytes) -> Stored:
    """The answer to a message that was published, of its headers and body."""
    if headers and headers.get("Status") == "503":
        return Stored(error=ApiError(NO_STREAM, "no stream takes the message"))
    try:
        return decoded(_decode_stored, body)
    except msgspec.DecodeError as error:
        return Stored(error=ApiError(0, f"the answer is not JetStream's ({error})"))
