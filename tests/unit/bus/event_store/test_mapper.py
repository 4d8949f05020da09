"""Events that are structs go through the eventsourcing library's event store and come back."""

from collections.abc import Iterator

import msgspec
import pytest
from eventsourcing.cipher import AESCipher
from eventsourcing.compressor import ZlibCompressor
from eventsourcing.domain import DomainEvent
from eventsourcing.persistence import EventStore, MapperDeserialisationError, StoredEvent
from eventsourcing.utils import Environment

from bus.event_store import Factory
from bus.event_store.mapper import StreamEvent, StructMapper


class Planted(msgspec.Struct, frozen=True, kw_only=True):
    species: str


class Grown(msgspec.Struct, frozen=True, kw_only=True):
    centimetres: int


NAMES: dict[type[msgspec.Struct], str] = {Planted: "tree.planted.v1", Grown: "tree.grown.v1"}
TYPES = {name: struct for struct, name in NAMES.items()}


def encode(event: msgspec.Struct) -> tuple[str, bytes]:
    return NAMES[type(event)], msgspec.json.encode(event)


def decode(name: str, encoded: bytes) -> msgspec.Struct:
    return msgspec.json.decode(encoded, type=TYPES[name])


EVENTS = [
    StreamEvent(stream="trees/oak-1", version=1, event=Planted(species="Quercus robur")),
    StreamEvent(stream="trees/oak-1", version=2, event=Grown(centimetres=30)),
    StreamEvent(stream="trees/oak-1", version=3, event=Grown(centimetres=25)),
]
COMPRESSOR = ZlibCompressor()
CIPHER = AESCipher(Environment(env={"CIPHER_KEY": AESCipher.create_key(16)}))


@pytest.fixture
def factory() -> Iterator[Factory]:
    factory = Factory({"SQLITE_DBNAME": ":memory:"})
    yield factory
    factory.close()


@pytest.mark.parametrize(
    "mapper",
    [
        StructMapper(encode, decode),
        StructMapper(encode, decode, compressor=COMPRESSOR),
        StructMapper(encode, decode, cipher=CIPHER),
        StructMapper(encode, decode, compressor=COMPRESSOR, cipher=CIPHER),
    ],
    ids=["plain", "compressed", "encrypted", "both"],
)
def test_events_come_back_as_they_were_put(factory: Factory, mapper: StructMapper):
    store = EventStore(mapper, factory.application_recorder())

    recordings = store.put(EVENTS)

    assert [recording.notification.id for recording in recordings] == [1, 2, 3]
    assert list(store.get("trees/oak-1")) == EVENTS
    assert list(store.get("trees/oak-1", gt=1, desc=True, limit=1)) == EVENTS[2:]


def test_the_log_holds_the_stable_name_and_plain_json(factory: Factory):
    EventStore(StructMapper(encode, decode), factory.application_recorder()).put(EVENTS)

    with factory.database.reading() as connection:
        first = connection.execute("SELECT stream, version, type, data FROM events LIMIT 1").fetchone()
    assert first == ("trees/oak-1", 1, "tree.planted.v1", '{"species":"Quercus robur"}')


def test_it_is_compressed_before_it_is_encrypted():
    stored = StructMapper(encode, decode, COMPRESSOR, CIPHER).to_stored_event(EVENTS[0])

    assert COMPRESSOR.decompress(CIPHER.decrypt(stored.state)) == b'{"species":"Quercus robur"}'


@pytest.mark.parametrize(
    ("name", "state"), [("tree.felled.v1", b"{}"), ("tree.grown.v1", b"{"), ("tree.grown.v1", b"\xff")]
)
def test_what_cannot_be_decoded_says_which_event_it_is(name: str, state: bytes):
    with pytest.raises(MapperDeserialisationError, match="event 7 of trees/ash, a tree"):
        StructMapper(encode, decode).to_domain_event(StoredEvent("trees/ash", 7, name, state))


def test_an_event_without_its_place_is_refused():
    event = DomainEvent.__new__(DomainEvent)

    with pytest.raises(TypeError, match="DomainEvent is not a StreamEvent"):
        StructMapper(encode, decode).to_stored_event(event)  # type: ignore[arg-type]
