"""The eventsourcing library's own cases for recorders and factories, on files and in memory."""

import tempfile
from unittest import TestCase
from uuid import uuid4

from eventsourcing.persistence import AggregateRecorder

# The module and not its classes, since pytest would run each imported test case here again.
from eventsourcing.tests import persistence as library
from eventsourcing.utils import Environment

from bus.event_store import Factory
from bus.event_store.recorders import (
    LogApplicationRecorder,
    LogProcessRecorder,
    TableAggregateRecorder,
    TableTrackingRecorder,
)


class OnFile(TestCase):
    def new_factory(self) -> Factory:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return self.closed_later(f"{folder.name}/application.db")

    def closed_later(self, name: str) -> Factory:
        factory = Factory({Factory.SQLITE_DBNAME: name})
        self.addCleanup(factory.close)
        return factory


class InMemory(OnFile):
    def new_factory(self) -> Factory:
        return self.closed_later(":memory:")


class InSharedMemory(OnFile):
    def new_factory(self) -> Factory:
        return self.closed_later(f"file:{uuid4().hex}?mode=memory&cache=shared")


class TestAggregateRecorderOnFile(OnFile, library.AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return self.new_factory().aggregate_recorder()


class TestAggregateRecorderInMemory(InMemory, TestAggregateRecorderOnFile): ...


class TestAggregateRecorderInSharedMemory(InSharedMemory, TestAggregateRecorderOnFile): ...


class TestSnapshotRecorder(OnFile, library.AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return self.new_factory().aggregate_recorder(purpose="snapshots")


class TestApplicationRecorderOnFile(OnFile, library.ApplicationRecorderTestCase[LogApplicationRecorder]):
    def create_recorder(self) -> LogApplicationRecorder:
        return self.new_factory().application_recorder()

    def test_insert_subscribe(self) -> None:
        # The case needs a subscription that goes on while events are inserted; nothing else calls it.
        self.optional_test_insert_subscribe()


class TestApplicationRecorderInMemory(InMemory, TestApplicationRecorderOnFile): ...


class TestApplicationRecorderInSharedMemory(InSharedMemory, TestApplicationRecorderOnFile): ...


class TestTrackingRecorderOnFile(OnFile, library.TrackingRecorderTestCase):
    def create_recorder(self) -> TableTrackingRecorder:
        return self.new_factory().tracking_recorder()


class TestTrackingRecorderInMemory(InMemory, TestTrackingRecorderOnFile): ...


class TestProcessRecorderOnFile(OnFile, library.ProcessRecorderTestCase):
    def create_recorder(self) -> LogProcessRecorder:
        return self.new_factory().process_recorder()


class TestProcessRecorderInMemory(InMemory, TestProcessRecorderOnFile): ...


class TestProcessRecorderAsApplicationRecorder(TestApplicationRecorderOnFile):
    def create_recorder(self) -> LogApplicationRecorder:
        return self.new_factory().process_recorder()


class TestProcessRecorderAsTrackingRecorder(TestTrackingRecorderOnFile):
    def create_recorder(self) -> TableTrackingRecorder:
        return self.new_factory().process_recorder()


class TestNotificationIdsDoNotInterleaveOnFile(OnFile, library.NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> LogApplicationRecorder:
        return self.new_factory().application_recorder()


class TestNotificationIdsDoNotInterleaveInMemory(InMemory, TestNotificationIdsDoNotInterleaveOnFile): ...


class OtherTrackingRecorder(TableTrackingRecorder):
    """A tracking recorder that is chosen by its class."""


class TestFactory(library.InfrastructureFactoryTestCase[Factory]):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.env = Environment(
            "TestCase", {"PERSISTENCE_MODULE": "bus.event_store", "SQLITE_DBNAME": f"{folder.name}/test.db"}
        )
        super().setUp()

    def expected_factory_class(self) -> type[Factory]:
        return Factory

    def expected_aggregate_recorder_class(self) -> type[TableAggregateRecorder]:
        return TableAggregateRecorder

    def expected_application_recorder_class(self) -> type[LogApplicationRecorder]:
        return LogApplicationRecorder

    def expected_tracking_recorder_class(self) -> type[TableTrackingRecorder]:
        return TableTrackingRecorder

    def tracking_recorder_subclass(self) -> type[TableTrackingRecorder]:
        return OtherTrackingRecorder

    def expected_process_recorder_class(self) -> type[LogProcessRecorder]:
        return LogProcessRecorder
