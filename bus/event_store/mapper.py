"""Events that are msgspec structs, for the event store of the eventsourcing library."""

from collections.abc import Callable
from typing import Any

import msgspec
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import (
    Cipher,
    Compressor,
    JSONTranscoder,
    Mapper,
    MapperDeserialisationError,
    StoredEvent,
)


class StreamEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event with its stream and version, which are also properties under the library's names."""

    stream: str
    version: int
    event: Any

    @property
    def originator_id(self) -> str:
        return self.stream

    @property
    def originator_version(self) -> int:
        return self.version


class StructMapper(Mapper[str]):
    """Maps a `StreamEvent` to a stored event and back.

    `encode` returns the name of an event's type, which stays even if its class is renamed, and its JSON;
    `decode` makes an event of both. The JSON is compressed, then encrypted, if there is a compressor or a
    cipher.
    """

    def __init__(
        self,
        encode: Callable[[Any], tuple[str, bytes]],
        decode: Callable[[str, bytes], Any],
        compressor: Compressor | None = None,
        cipher: Cipher | None = None,
    ) -> None:
        # The library's constructor requires a transcoder; it is not used.
        super().__init__(JSONTranscoder(), compressor, cipher)
        self._encode = encode
        self._decode = decode

    def to_stored_event(self, domain_event: DomainEventProtocol[str]) -> StoredEvent:
        """The stored form of a `StreamEvent`.

        Raises:
            TypeError: it is something else.
        """
        # The parent's method would use `vars`, which a struct does not support.
        if not isinstance(domain_event, StreamEvent):
            raise TypeError(f"{type(domain_event).__name__} is not a StreamEvent")
        topic, state = self._encode(domain_event.event)
        if self.compressor:
            state = self.compressor.compress(state)
        if self.cipher:
            state = self.cipher.encrypt(state)
        return StoredEvent(domain_event.stream, domain_event.version, topic, state)

    def to_domain_event(self, stored_event: StoredEvent) -> StreamEvent:
        """The `StreamEvent` that was stored.

        Raises:
            MapperDeserialisationError: it cannot be decrypted, decompressed or decoded.
        """
        try:
            state = stored_event.state
            if self.cipher:
                state = self.cipher.decrypt(state)
            if self.compressor:
                state = self.compressor.decompress(state)
            event = self._decode(stored_event.topic, state)
        except Exception as error:
            raise MapperDeserialisationError(
                f"event {stored_event.originator_version} of {stored_event.originator_id},"
                f" a {stored_event.topic}, cannot be read: {error}"
            ) from error
        return StreamEvent(
            stream=str(stored_event.originator_id), version=stored_event.originator_version, event=event
        )
