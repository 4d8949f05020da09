"""Applications of the eventsourcing library run on this store: the library's own cases, then a kennel's."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar
from unittest import TestCase, mock
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import apsw
import pytest
from eventsourcing.application import AggregateNotFoundError, Application, ProcessingEvent
from eventsourcing.cipher import AESCipher
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import (
    Aggregate,
    BaseAggregate,
    CanInitAggregate,
    CanMutateAggregate,
    DomainEventProtocol,
    event,
)
from eventsourcing.persistence import IntegrityError, Tracking
from eventsourcing.projection import Projection, ProjectionRunner
from eventsourcing.system import MultiThreadedRunner, ProcessApplication, Runner, SingleThreadedRunner, System

# The modules and not their classes, since pytest would run each imported test case here again.
from eventsourcing.tests import application as library
from eventsourcing.tests import projection as library_projections

from bus.event_store import Factory
from bus.event_store.recorders import TableTrackingRecorder
from bus.log import chain
from migrations.connection import open_reader

MODULE = "bus.event_store"


class OnFile(TestCase):
    """Runs a case with this store in the environment, and a file for each application that it starts."""

    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        environment = {"PERSISTENCE_MODULE": MODULE, **self.database_names(folder.name)}
        patch = mock.patch.dict(os.environ, environment)
        patch.start()
        self.addCleanup(patch.stop)

    def database_names(self, folder: str) -> dict[str, str]:
        return {
            "SQLITE_DBNAME": f"{folder}/default.db",
            "APPLICATION_SQLITE_DBNAME": f"{folder}/application.db",
            "COUNTERS_SQLITE_DBNAME": f"file:{folder}/counters.db",
        }


class InMemory(OnFile):
    def database_names(self, folder: str) -> dict[str, str]:
        return {"SQLITE_DBNAME": ":memory:"}


class InSharedMemory(OnFile):
    def database_names(self, folder: str) -> dict[str, str]:
        names = ("", "APPLICATION_", "COUNTERS_")
        return {f"{name}SQLITE_DBNAME": f"file:{uuid4().hex}?mode=memory&cache=shared" for name in names}


class TestExampleApplicationOnFile(OnFile, library.ExampleApplicationTestCase):
    expected_factory_topic = "bus.event_store.factory:Factory"


class TestExampleApplicationInMemory(InMemory, TestExampleApplicationOnFile): ...


class TestExampleApplicationInSharedMemory(InSharedMemory, TestExampleApplicationOnFile): ...


class TestApplicationOnFile(OnFile, library.ApplicationTestCase): ...


class TestApplicationInMemory(InMemory, library.ApplicationTestCase): ...


class TestApplicationInSharedMemory(InSharedMemory, library.ApplicationTestCase): ...


class EventCounters(TableTrackingRecorder, library_projections.EventCountersView):
    """The view that the library's cases for projections ask for."""

    def create_tables(self) -> None:
        super().create_tables()
        with self.database.writing() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS counters (kind TEXT PRIMARY KEY, count INTEGER)")
            connection.execute("INSERT OR IGNORE INTO counters VALUES ('created', 0), ('subsequent', 0)")

    def get_created_event_counter(self) -> int:
        return self._count_of("created")

    def get_subsequent_event_counter(self) -> int:
        return self._count_of("subsequent")

    def incr_created_event_counter(self, tracking: Tracking) -> None:
        self._increment("created", tracking)

    def incr_subsequent_event_counter(self, tracking: Tracking) -> None:
        self._increment("subsequent", tracking)

    def _increment(self, kind: str, tracking: Tracking) -> None:
        with self.database.writing() as connection:
            self.record_tracking(connection, tracking)
            connection.execute("UPDATE counters SET count = count + 1 WHERE kind = ?", (kind,))

    def _count_of(self, kind: str) -> Any:
        with self.database.reading() as connection:
            return connection.execute("SELECT count FROM counters WHERE kind = ?", (kind,)).get


class TestEventCountersViewOnFile(OnFile, library_projections.EventCountersViewTestCase):
    def construct_event_counters_view(self) -> EventCounters:
        factory = Factory(dict(os.environ))
        self.addCleanup(factory.close)
        view = factory.tracking_recorder(EventCounters)
        assert isinstance(view, EventCounters)
        return view


class TestEventCountersViewInMemory(InMemory, TestEventCountersViewOnFile): ...


class TestProjectionOnFile(OnFile, library_projections.AggregateEventCountersProjectionTestCase):
    view_class = EventCounters


class TestProjectionInMemory(InMemory, TestProjectionOnFile): ...


class TestProjectionInSharedMemory(InSharedMemory, TestProjectionOnFile): ...


class TestEventSourcedProjectionOnFile(OnFile, library_projections.EventSourcedProjectionTestCase): ...


class TestEventSourcedProjectionInMemory(InMemory, library_projections.EventSourcedProjectionTestCase): ...


class Dog(Aggregate):
    """One dog and what it has learnt."""

    @event("Admitted")
    def __init__(self, name: str) -> None:
        self.name = name
        self.tricks: list[str] = []

    class TrickLearnt(Aggregate.Event):
        trick: str

    @event(TrickLearnt)
    def learn(self, trick: str) -> None:
        self.tricks.append(trick)


class Kennel(Application[UUID]):
    """An application that admits and teaches dogs."""

    snapshotting_intervals: ClassVar[dict[Any, int]] = {Dog: 3}

    def admit(self, name: str) -> UUID:
        dog = Dog(name)
        self.save(dog)
        return dog.id

    def teach(self, dog_id: UUID, trick: str) -> int:
        """The position of what was recorded."""
        dog: Dog = self.repository.get(dog_id)
        dog.learn(trick)
        return self.save(dog)[-1].notification.id

    def tricks_of(self, dog_id: UUID, version: int | None = None) -> list[str]:
        dog: Dog = self.repository.get(dog_id, version=version)
        return dog.tricks


class Cat(BaseAggregate[str]):
    """An aggregate whose id is text."""

    @dataclass(frozen=True)
    class Event(CanMutateAggregate[str]):
        originator_id: str
        originator_version: int
        timestamp: datetime

    @dataclass(frozen=True)
    class Found(CanInitAggregate[str], Event):
        originator_topic: str
        name: str

    @staticmethod
    def create_id(name: str) -> str:
        return f"cat-{name}"

    @event(Found)
    def __init__(self, name: str) -> None:
        self.name = name


class TrickTotal(Aggregate):
    """How many dogs can do a trick."""

    def __init__(self, trick: str) -> None:
        self.dogs = 0

    @staticmethod
    def create_id(trick: str) -> UUID:
        return uuid5(NAMESPACE_URL, f"/tricks/{trick}")

    @event("Counted")
    def count(self) -> None:
        self.dogs += 1


class TrickTotals(ProcessApplication[UUID]):
    """Follows a kennel, and counts by events of its own."""

    @singledispatchmethod
    def policy(
        self, domain_event: DomainEventProtocol[UUID], processing_event: ProcessingEvent[UUID]
    ) -> None: ...

    @policy.register(Dog.TrickLearnt)
    def _(self, domain_event: Any, processing_event: ProcessingEvent[UUID]) -> None:
        total = self._total(domain_event.trick)
        total.count()
        processing_event.collect_events(total)

    def dogs_that_can(self, trick: str) -> int:
        return self._total(trick).dogs

    def _total(self, trick: str) -> TrickTotal:
        try:
            return self.repository.get(TrickTotal.create_id(trick))
        except AggregateNotFoundError:
            return TrickTotal(trick)


class TrickBoard(TableTrackingRecorder):
    """A table of who learnt what, in SQL."""

    def create_tables(self) -> None:
        super().create_tables()
        with self.database.writing() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS trick_board (dog TEXT, trick TEXT)")

    def add(self, dog_id: UUID, trick: str, tracking: Tracking) -> None:
        with self.database.writing() as connection:
            connection.execute("INSERT INTO trick_board VALUES (?, ?)", (str(dog_id), trick))
            self.record_tracking(connection, tracking)

    def count(self) -> Any:
        with self.database.reading() as connection:
            return connection.execute("SELECT count(*) FROM trick_board").get


class TrickBoardProjection(Projection[TrickBoard]):
    """Keeps the board up to date with a kennel."""

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.insert_tracking(tracking)

    @process_event.register(Dog.TrickLearnt)
    def _(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.add(domain_event.originator_id, domain_event.trick, tracking)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kennel.db"


@pytest.fixture
def environment(path: Path) -> dict[str, str]:
    return {"PERSISTENCE_MODULE": MODULE, "SQLITE_DBNAME": str(path)}


def test_dogs_are_admitted_taught_and_found_again_after_a_restart(environment: dict[str, str]):
    with Kennel(environment) as kennel:
        fido, rex = kennel.admit("Fido"), kennel.admit("Rex")
        kennel.teach(fido, "roll over")
        kennel.teach(rex, "sit")
        kennel.teach(fido, "fetch ball")

    with Kennel(environment) as kennel:
        assert kennel.tricks_of(fido) == ["roll over", "fetch ball"]
        assert kennel.tricks_of(fido, version=2) == ["roll over"]
        assert kennel.tricks_of(rex) == ["sit"]
        assert kennel.teach(rex, "play dead") == 6


def test_an_unknown_dog_is_not_found(environment: dict[str, str]):
    with Kennel(environment) as kennel, pytest.raises(AggregateNotFoundError):
        kennel.tricks_of(uuid4())


def test_of_two_that_teach_the_same_version_of_a_dog_one_is_refused(environment: dict[str, str]):
    with Kennel(environment) as kennel:
        fido = kennel.admit("Fido")
        first: Dog = kennel.repository.get(fido)
        second: Dog = kennel.repository.get(fido)
        first.learn("sit")
        second.learn("roll over")
        kennel.save(first)

        with pytest.raises(IntegrityError):
            kennel.save(second)

        assert kennel.tricks_of(fido) == ["sit"]


def test_the_notification_log_gives_sections_in_the_order_of_recording(environment: dict[str, str]):
    with Kennel(environment) as kennel:
        dogs = [kennel.admit(f"dog {number}") for number in range(12)]

        section = kennel.notification_log["1,10"]
        rest = kennel.notification_log[section.next_id or ""]

        items = [*section.items, *rest.items]
        assert [item.id for item in items] == list(range(1, 13))
        assert [item.originator_id for item in items] == dogs
        assert rest.next_id is None


def test_snapshots_are_taken_and_used_and_stay_out_of_the_log(environment: dict[str, str]):
    with Kennel(environment) as kennel:
        fido = kennel.admit("Fido")
        for trick in ("sit", "roll over", "fetch ball"):
            kennel.teach(fido, trick)
        assert kennel.snapshots is not None

        assert [snapshot.originator_version for snapshot in kennel.snapshots.get(fido)] == [3]
        assert kennel.recorder.max_notification_id() == 4
        read_versions = versions_read(kennel)
        assert kennel.tricks_of(fido) == ["sit", "roll over", "fetch ball"]
        assert read_versions == [4]


def versions_read(kennel: Kennel) -> list[int]:
    """A list to which the version of each event is added that the repository reads from now on."""
    read: list[int] = []
    select_events = kennel.recorder.select_events

    def select_and_note(*positional: Any, **named: Any) -> Any:
        events = select_events(*positional, **named)
        read.extend(each.originator_version for each in events)
        return events

    kennel.recorder.select_events = select_and_note  # type: ignore[method-assign]
    return read


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        (dict, "text"),
        (lambda: {"COMPRESSOR_TOPIC": "zlib"}, "blob"),
        (lambda: {"CIPHER_KEY": AESCipher.create_key(16)}, "blob"),
        (lambda: {"COMPRESSOR_TOPIC": "zlib", "CIPHER_KEY": AESCipher.create_key(32)}, "blob"),
    ],
    ids=["plain", "compressed", "encrypted", "both"],
)
def test_what_is_compressed_or_encrypted_comes_back(
    environment: dict[str, str], path: Path, keys: Callable[[], dict[str, str]], kind: str
):
    environment |= keys()
    with Kennel(environment) as kennel:
        fido = kennel.admit("Fido")
        kennel.teach(fido, "sit")
    with Kennel(environment) as kennel:
        assert kennel.tricks_of(fido) == ["sit"]

    connection = open_reader(path)
    assert connection.execute("SELECT DISTINCT typeof(data) FROM events").fetchall() == [(kind,)]
    assert chain.verify_chain(connection).position == 2
    connection.close()


@pytest.mark.parametrize("id_type", ["uuid", "text"])
def test_an_id_that_is_text_comes_back_as_text(environment: dict[str, str], id_type: str):
    with Application[str](environment | {"ORIGINATOR_ID_TYPE": id_type}) as shelter:
        shelter.save(Cat("Minka"))

        cat: Cat = shelter.repository.get("cat-Minka")

        assert (cat.id, cat.name) == ("cat-Minka", "Minka")


def test_an_application_may_keep_its_events_in_a_file_of_the_service(path: Path, environment: dict[str, str]):
    with Kennel(environment) as kennel:
        kennel.admit("Fido")

    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    connection.close()
    assert {"events", "command_answers", "jobs", "stored_snapshots"} <= tables


def test_a_projection_follows_into_the_same_file_and_goes_on_after_a_restart(environment: dict[str, str]):
    with followed_by_a_board(environment) as runner:
        fido = runner.app.admit("Fido")
        runner.wait(runner.app.teach(fido, "sit"), timeout=10)
        assert runner.view.count() == 1

    with Kennel(environment) as kennel:
        last = kennel.teach(fido, "roll over")

    with followed_by_a_board(environment) as runner:
        runner.wait(last, timeout=10)
        assert runner.view.count() == 2
        runner.wait(runner.app.teach(fido, "fetch ball"), timeout=10)
        assert runner.view.count() == 3


def followed_by_a_board(environment: dict[str, str]) -> ProjectionRunner[Kennel, TrickBoard]:
    return ProjectionRunner(
        application_class=Kennel,
        projection_class=TrickBoardProjection,
        view_class=TrickBoard,
        env=environment,
    )


@pytest.mark.parametrize("runner_class", [SingleThreadedRunner, MultiThreadedRunner])
def test_a_system_of_two_applications_runs_with_a_file_for_each(
    tmp_path: Path, runner_class: type[Runner[UUID]]
):
    environment = {
        "PERSISTENCE_MODULE": MODULE,
        "KENNEL_SQLITE_DBNAME": str(tmp_path / "kennel.db"),
        "TRICKTOTALS_SQLITE_DBNAME": str(tmp_path / "totals.db"),
    }
    runner = runner_class(System([[Kennel, TrickTotals]]), environment)
    runner.start()
    kennel, totals = runner.get(Kennel), runner.get(TrickTotals)

    fido, rex = kennel.admit("Fido"), kennel.admit("Rex")
    kennel.teach(fido, "sit")
    last = kennel.teach(rex, "sit")

    totals.recorder.wait("Kennel", last, timeout=10)
    assert totals.dogs_that_can("sit") == 2
    runner.stop()
