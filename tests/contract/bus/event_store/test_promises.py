"""Promises of the event store that the eventsourcing library's own test cases do not cover."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import UUID, uuid4

import apsw
import pytest
from eventsourcing.persistence import (
    ConnectionUnavailableError,
    DatabaseError,
    IntegrityError,
    InterfaceError,
    Notification,
    OperationalError,
    ProgrammingError,
    StoredEvent,
    Tracking,
)
from eventsourcing.utils import get_topic
from hypothesis import given
from hypothesis import strategies as st

from bus.event_store import Factory
from bus.event_store import subscription as subscription_module
from bus.event_store.database import Location
from bus.event_store.recorders import LogApplicationRecorder, TableTrackingRecorder
from bus.log import chain
from tests.support.repository import ROOT
from tests.support.stores.looking_inside import read_after

DEADLINE_SECONDS = 30


class Totals(TableTrackingRecorder):
    """A view with a total that is stored in one transaction with the tracking."""

    def create_tables(self) -> None:
        super().create_tables()
        with self.database.writing() as connection:
            connection.execute("CREATE TABLE totals (total INTEGER)")
            connection.execute("INSERT INTO totals VALUES (0)")

    def add(self, amount: int, tracking: Tracking) -> None:
        with self.database.writing() as connection:
            connection.execute("UPDATE totals SET total = total + ?", (amount,))
            self.record_tracking(connection, tracking)

    def total(self) -> Any:
        with self.database.reading() as connection:
            return connection.execute("SELECT total FROM totals").get


class CountedApplicationRecorder(LogApplicationRecorder):
    """An application recorder that is chosen by a name in the environment."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "application.db"


@pytest.fixture
def factory(path: Path) -> Iterator[Factory]:
    with_file = Factory({Factory.SQLITE_DBNAME: str(path)})
    yield with_file
    with_file.close()


@pytest.fixture
def recorder(factory: Factory) -> LogApplicationRecorder:
    return factory.application_recorder()


def stored(
    originator_id: UUID | str | None = None, version: int = 1, topic: str = "topic", state: bytes = b"{}"
) -> StoredEvent:
    return StoredEvent(originator_id or uuid4(), version, topic, state)


class TestTheLog:
    def test_a_conflict_writes_nothing_and_leaves_no_gap(self, recorder: LogApplicationRecorder):
        taken = stored("taken")
        recorder.insert_events([taken])

        with pytest.raises(IntegrityError):
            recorder.insert_events([stored(), stored(), taken])

        assert recorder.max_notification_id() == 1
        assert recorder.insert_events([stored()]) == [2]

    def test_writers_on_several_connections_leave_no_gap_and_a_whole_chain(self, path: Path):
        factories = [Factory({Factory.SQLITE_DBNAME: str(path)}) for _ in range(4)]
        with ThreadPoolExecutor(len(factories)) as threads:
            # The file does not exist yet; each thread opens it and writes at once.
            written = list(threads.map(insert_ten_times_three, factories))

        positions = sorted(position for positions in written for position in positions)
        assert positions == list(range(1, 4 * 10 * 3 + 1))
        with factories[0].database.reading() as connection:
            assert chain.verify_chain(connection) == chain.read_head(connection)
        for one in factories:
            one.close()

    def test_events_carry_no_command_and_the_time_never_goes_back(self, factory: Factory):
        factory.application_recorder()
        times = iter([1_000, 400, 2_000])
        recorder = LogApplicationRecorder(factory.database, clock=lambda: next(times))

        for _ in range(3):
            recorder.insert_events([stored()])

        with factory.database.reading() as connection:
            rows = read_after(connection, 0, limit=10)
        assert [row.recorded_at for row in rows] == [1_000, 1_000, 2_000]
        assert [(row.command_id, row.metadata) for row in rows] == [(None, None)] * 3

    def test_aggregate_recorders_stay_out_of_the_log(
        self, factory: Factory, recorder: LogApplicationRecorder
    ):
        factory.aggregate_recorder().insert_events([stored("a")])
        factory.aggregate_recorder("snapshots").insert_events([stored("a")])

        assert recorder.max_notification_id() is None
        assert recorder.select_events("a") == []

    def test_a_reader_is_not_kept_waiting_by_a_writer(
        self, factory: Factory, recorder: LogApplicationRecorder
    ):
        recorder.insert_events([stored()])

        with factory.database.writing() as connection:
            connection.execute("DELETE FROM timelines")
            with ThreadPoolExecutor(1) as another_thread:
                assert another_thread.submit(recorder.max_notification_id).result(DEADLINE_SECONDS) == 1


def insert_ten_times_three(factory: Factory) -> list[int]:
    recorder = factory.application_recorder()
    return [position for _ in range(10) for position in recorder.insert_events([stored() for _ in range(3)])]


class TestStates:
    @given(state=st.binary() | st.text().map(str.encode))
    def test_come_back_byte_for_byte_and_are_text_where_they_can_be(self, state: bytes):
        factory = Factory({Factory.SQLITE_DBNAME: ":memory:"})
        for recorder in (factory.application_recorder(), factory.aggregate_recorder()):
            recorder.insert_events([stored("a", state=state)])

            assert [event.state for event in recorder.select_events("a")] == [state]
        with factory.database.reading() as connection:
            for table in ("events", "stored_events"):
                kind = connection.execute(f"SELECT typeof(data) FROM {table}").get
                assert kind == ("text" if is_utf_8(state) else "blob")
        factory.close()

    def test_are_read_by_the_json_functions_of_sql(self, factory: Factory, recorder: LogApplicationRecorder):
        recorder.insert_events([stored(state=b'{"name":"Fido"}')])

        with factory.database.reading() as connection:
            assert connection.execute("SELECT data ->> 'name' FROM events").get == "Fido"


def is_utf_8(state: bytes) -> bool:
    try:
        return bool(state.decode()) or state == b""
    except UnicodeDecodeError:
        return False


class TestOriginatorIds:
    ID = UUID("0b9f7d2e-94d8-4b6a-8d5a-2f1c3e4d5f60")

    def test_a_uuid_comes_back_as_a_uuid_however_it_was_given(self, recorder: LogApplicationRecorder):
        recorder.insert_events([stored(self.ID, 1), stored(str(self.ID), 2)])

        assert [event.originator_id for event in recorder.select_events(self.ID)] == [self.ID, self.ID]
        assert recorder.select_events(str(self.ID)) == recorder.select_events(self.ID)
        assert recorder.select_notifications(1, 1)[0].originator_id == self.ID

    @pytest.mark.parametrize("text", ["dog-7", ID.hex, str(ID).upper(), "jobs/9f1c", f"{ID} "])
    def test_any_other_text_stays_text(self, recorder: LogApplicationRecorder, text: str):
        recorder.insert_events([stored(text)])

        assert [event.originator_id for event in recorder.select_events(text)] == [text]

    def test_all_are_text_where_the_application_says_so(self, path: Path):
        factory = Factory({Factory.SQLITE_DBNAME: str(path), Factory.ORIGINATOR_ID_TYPE: "text"})
        for recorder in (factory.process_recorder(), factory.aggregate_recorder()):
            recorder.insert_events([stored(self.ID)])

            assert [event.originator_id for event in recorder.select_events(self.ID)] == [str(self.ID)]
        factory.close()


class TestSubscriptions:
    def test_one_that_waits_sees_a_commit_of_another_process(
        self, path: Path, recorder: LogApplicationRecorder
    ):
        another = (
            "from eventsourcing.persistence import StoredEvent\n"
            "from bus.event_store import Factory\n"
            f"factory = Factory({{'SQLITE_DBNAME': {str(path)!r}}})\n"
            "factory.application_recorder().insert_events([StoredEvent('elsewhere', 1, 'topic', b'{}')])\n"
            "factory.close()\n"
        )
        with recorder.subscribe() as subscription, ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(next, subscription)
            subprocess.run([sys.executable, "-c", another], check=True, cwd=ROOT)

            assert waiting.result(DEADLINE_SECONDS).originator_id == "elsewhere"

    def test_one_that_waits_is_woken_by_a_commit_in_this_process(
        self, recorder: LogApplicationRecorder, monkeypatch: pytest.MonkeyPatch
    ):
        # Its polling never comes in time, so only a notification can wake it.
        monkeypatch.setattr(subscription_module, "POLL_SECONDS", 2 * DEADLINE_SECONDS)
        with recorder.subscribe() as subscription, ThreadPoolExecutor(1) as thread:
            for position in range(1, 21):
                waiting = thread.submit(next, subscription)
                recorder.insert_events([stored()])

                assert waiting.result(DEADLINE_SECONDS).id == position

            waiting = thread.submit(next, subscription)
            subscription.stop()
            assert isinstance(waiting.exception(DEADLINE_SECONDS), StopIteration)

    def test_one_for_some_topics_gets_every_event_of_them_in_order(self, recorder: LogApplicationRecorder):
        written = [stored(topic="rare" if number % 700 == 0 else "common") for number in range(2_100)]
        recorder.insert_events(written)

        with recorder.subscribe(topics=["rare"]) as subscription:
            assert taken(subscription, 3) == [1, 701, 1_401]
            recorder.insert_events([stored(), stored(topic="rare")])
            assert taken(subscription, 1) == [2_102]

    def test_one_reads_more_than_a_page(self, recorder: LogApplicationRecorder):
        recorder.insert_events([stored() for _ in range(1_234)])

        with recorder.subscribe(gt=34) as subscription:
            assert taken(subscription, 1_200) == list(range(35, 1_235))

    @pytest.mark.parametrize("recorded", [0, 3])
    def test_stopping_ends_the_iteration_in_another_thread(
        self, recorder: LogApplicationRecorder, recorded: int
    ):
        recorder.insert_events([stored() for _ in range(recorded)])
        subscription = recorder.subscribe()
        received: list[Notification] = []
        follower = Thread(target=lambda: received.extend(subscription), daemon=True)
        follower.start()
        while len(received) < recorded:
            follower.join(0.001)

        subscription.stop()
        follower.join(DEADLINE_SECONDS)

        assert not follower.is_alive()
        assert len(received) == recorded

    def test_closing_the_store_is_an_error_for_who_follows_it(
        self, factory: Factory, recorder: LogApplicationRecorder
    ):
        with recorder.subscribe() as subscription, ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(next, subscription)
            factory.close()

            with pytest.raises(InterfaceError, match="closed"):
                waiting.result(DEADLINE_SECONDS)


def taken(subscription: Iterator[Notification], count: int) -> list[int]:
    return [next(subscription).id for _ in range(count)]


class TestViews:
    def test_a_view_and_its_tracking_change_together_or_not_at_all(self, factory: Factory):
        view = factory.tracking_recorder(Totals)
        assert isinstance(view, Totals)
        view.add(5, Tracking("upstream", 1))

        with pytest.raises(IntegrityError):
            view.add(7, Tracking("upstream", 1))

        assert view.total() == 5
        assert view.max_tracking_id("upstream") == 1

    def test_a_process_records_that_it_saw_an_event_that_led_to_none(self, factory: Factory):
        recorder = factory.process_recorder()

        assert recorder.insert_events([], tracking=Tracking("upstream", 4)) == []

        assert recorder.has_tracking_id("upstream", 4)


class TestConfiguration:
    @pytest.mark.parametrize(
        ("name", "location"),
        [
            ("data/app.db", Location(path=Path("data/app.db"))),
            ("file:data/app.db", Location(path=Path("data/app.db"))),
            ("file:/srv/my%20app.db?mode=rwc", Location(path=Path("/srv/my app.db"))),
            ("file:///srv/app.db?cache=shared", Location(path=Path("/srv/app.db"))),
            ("file://localhost/srv/app.db", Location(path=Path("/srv/app.db"))),
            (":memory:", Location()),
            ("file::memory:", Location()),
            ("file:app?mode=memory", Location()),
            ("file:app?mode=memory&cache=shared", Location(memory_name="app")),
            ("file::memory:?cache=shared", Location(memory_name=":memory:")),
        ],
    )
    def test_a_name_says_where_the_database_is(self, name: str, location: Location):
        assert Location.parse(name) == location

    @pytest.mark.parametrize(
        "environment",
        [
            {},
            {"SQLITE_DBNAME": ""},
            {"SQLITE_DBNAME": "file:app.db?mode=ro"},
            {"SQLITE_DBNAME": "file:app.db?immutable=1"},
            {"SQLITE_DBNAME": "file://elsewhere/app.db"},
            {"SQLITE_DBNAME": ":memory:", "SQLITE_LOCK_TIMEOUT": "soon"},
            {"SQLITE_DBNAME": ":memory:", "SQLITE_LOCK_TIMEOUT": "-1"},
            {"SQLITE_DBNAME": ":memory:", "ORIGINATOR_ID_TYPE": "integer"},
        ],
    )
    def test_a_value_without_a_meaning_is_refused(self, environment: dict[str, str]):
        with pytest.raises(OSError):
            Factory(environment)

    def test_recorders_are_of_the_class_that_the_environment_names(self):
        recorder_class = get_topic(CountedApplicationRecorder)
        factory = Factory({"SQLITE_DBNAME": ":memory:", "APPLICATION_RECORDER_TOPIC": recorder_class})

        assert type(factory.application_recorder()) is CountedApplicationRecorder

        factory.env["APPLICATION_RECORDER_TOPIC"] = get_topic(Totals)
        with pytest.raises(OSError, match="not a kind of LogApplicationRecorder"):
            factory.application_recorder()

    @pytest.mark.parametrize("purpose", ["", 'a"b', "a b", "a;b"])
    def test_a_purpose_that_is_no_name_of_a_table_is_refused(self, factory: Factory, purpose: str):
        with pytest.raises(ValueError, match="table"):
            factory.aggregate_recorder(purpose)

    def test_no_file_is_made_before_it_is_needed(self, path: Path, factory: Factory):
        assert not path.exists()

        factory.application_recorder()

        assert path.exists()

    def test_without_leave_to_create_tables_there_are_none(self, path: Path):
        factory = Factory({"SQLITE_DBNAME": str(path), "CREATE_TABLE": "no"})
        recorder = factory.application_recorder()

        with pytest.raises(OperationalError, match="no such table"):
            recorder.select_events("a")
        with pytest.raises(OperationalError, match="no such table"):
            recorder.insert_events([stored()])
        factory.close()

    def test_memory_is_shared_by_its_name_and_by_nothing_else(self):
        shared = f"file:{uuid4().hex}?mode=memory&cache=shared"
        names = [shared, shared, ":memory:", ":memory:"]
        factories = [Factory({"SQLITE_DBNAME": name}) for name in names]
        recorders = [factory.application_recorder() for factory in factories]

        recorders[0].insert_events([stored()])

        assert [recorder.max_notification_id() for recorder in recorders] == [1, 1, None, None]
        recorders[1].insert_events([stored()])
        assert recorders[0].max_notification_id() == 2
        for factory in factories:
            factory.close()
        assert Factory({"SQLITE_DBNAME": shared}).application_recorder().max_notification_id() is None


class TestFailures:
    def test_a_full_disk_writes_nothing_and_the_store_goes_on_when_there_is_room(
        self, factory: Factory, recorder: LogApplicationRecorder
    ):
        recorder.insert_events([stored()])
        limit_pages(factory, 1)

        with pytest.raises(OperationalError, match="full"):
            recorder.insert_events([stored(state=b'"%s"' % (b"x" * 100_000))] * 2)

        assert recorder.max_notification_id() == 1
        limit_pages(factory, 1_000_000)
        assert recorder.insert_events([stored()]) == [2]

    def test_a_closed_store_says_so(self, factory: Factory, recorder: LogApplicationRecorder):
        factory.close()

        for use in (recorder.max_notification_id, lambda: recorder.insert_events([stored()])):
            with pytest.raises(InterfaceError, match="closed"):
                use()

    @pytest.mark.parametrize("name", ["{path}", "file:shared?mode=memory&cache=shared"])
    def test_a_thread_that_writes_for_too_long_is_an_error_for_the_next(self, path: Path, name: str):
        environment = {"SQLITE_DBNAME": name.format(path=path), "SQLITE_LOCK_TIMEOUT": "0"}
        factory = Factory(environment)
        recorder = factory.application_recorder()
        done = Event()

        def write_until_done() -> None:
            with factory.database.writing():
                writing.set()
                done.wait(DEADLINE_SECONDS)

        writing = Event()
        with ThreadPoolExecutor(1) as thread:
            thread.submit(write_until_done)
            writing.wait(DEADLINE_SECONDS)
            with pytest.raises(ConnectionUnavailableError):
                recorder.insert_events([stored()])
            done.set()
        assert recorder.insert_events([stored()]) == [1]
        factory.close()

    def test_another_program_that_writes_for_too_long_is_an_error(self, path: Path):
        factory = Factory({"SQLITE_DBNAME": str(path), "SQLITE_LOCK_TIMEOUT": "0"})
        recorder = factory.application_recorder()
        another = apsw.Connection(str(path))
        another.execute("BEGIN IMMEDIATE")

        with pytest.raises(OperationalError, match="locked"):
            recorder.insert_events([stored()])

        another.close()
        factory.close()

    def test_waiting_for_another_program_keeps_no_other_thread_waiting(
        self, path: Path, recorder: LogApplicationRecorder
    ):
        another = apsw.Connection(str(path))
        another.execute("BEGIN IMMEDIATE")

        with ThreadPoolExecutor(1) as thread:
            inserting = thread.submit(recorder.insert_events, [stored()])
            assert wait([inserting], timeout=0.05).done == set()
            # If the insert kept the GIL while it waits, it would time out before this line is reached.
            another.execute("ROLLBACK")

            assert inserting.result(DEADLINE_SECONDS) == [1]
        another.close()

    def test_a_file_that_another_program_writes_to_is_opened_once_it_is_done(
        self, path: Path, factory: Factory
    ):
        another = apsw.Connection(str(path))
        another.execute("BEGIN IMMEDIATE")
        another.execute("CREATE TABLE elsewhere (one)")

        with ThreadPoolExecutor(1) as thread:
            opening = thread.submit(factory.application_recorder)
            assert wait([opening], timeout=0.05).done == set()
            another.execute("COMMIT")

            assert opening.result(DEADLINE_SECONDS).insert_events([stored()]) == [1]
        another.close()

    def test_a_write_inside_a_write_is_refused(self, factory: Factory, recorder: LogApplicationRecorder):
        with pytest.raises(ProgrammingError), factory.database.writing():
            recorder.insert_events([stored()])

        assert recorder.insert_events([stored()]) == [1]

    def test_a_file_that_is_no_database_is_refused(self, path: Path, factory: Factory):
        path.write_bytes(b"not a database " * 100)

        with pytest.raises(DatabaseError, match="not a database"):
            factory.application_recorder()


def limit_pages(factory: Factory, pages: int) -> None:
    with factory.database.writing() as connection:
        connection.pragma("max_page_count", pages)
