"""`Factory`: makes the recorders for the library."""

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from eventsourcing.persistence import InfrastructureFactory
from eventsourcing.utils import Environment, EnvType, resolve_topic, strtobool

from bus.event_store.database import Database, Location
from bus.event_store.recorders import (
    DatabaseRecorder,
    LogApplicationRecorder,
    LogProcessRecorder,
    TableAggregateRecorder,
    TableTrackingRecorder,
    uuid_or_text,
)

_Recorder = TypeVar("_Recorder", bound=DatabaseRecorder)


class Factory(InfrastructureFactory[TableTrackingRecorder]):
    """Makes the recorders of one application, which share one database.

    Raises:
        OSError: `SQLITE_DBNAME` is missing, or a key's value has no meaning.
    """

    SQLITE_DBNAME = "SQLITE_DBNAME"
    SQLITE_LOCK_TIMEOUT = "SQLITE_LOCK_TIMEOUT"
    ORIGINATOR_ID_TYPE = "ORIGINATOR_ID_TYPE"
    CREATE_TABLE = "CREATE_TABLE"

    aggregate_recorder_class = TableAggregateRecorder
    application_recorder_class = LogApplicationRecorder
    tracking_recorder_class = TableTrackingRecorder
    process_recorder_class = LogProcessRecorder

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        self._read_id = self._configured_read_id()
        self.database = Database(
            self._configured_location(), lock_timeout_seconds=self._configured_lock_timeout_seconds()
        )

    def aggregate_recorder(self, purpose: str = "events") -> TableAggregateRecorder:
        recorder = self.aggregate_recorder_class(self.database, purpose, read_id=self._read_id)
        return self._with_tables(recorder)

    def application_recorder(self) -> LogApplicationRecorder:
        recorder_class = self._configured_class(
            self.APPLICATION_RECORDER_TOPIC, self.application_recorder_class
        )
        return self._with_tables(recorder_class(self.database, read_id=self._read_id))

    def tracking_recorder(
        self, tracking_recorder_class: type[TableTrackingRecorder] | None = None
    ) -> TableTrackingRecorder:
        recorder_class = tracking_recorder_class or self._configured_class(
            self.TRACKING_RECORDER_TOPIC, self.tracking_recorder_class
        )
        return self._with_tables(recorder_class(self.database))

    def process_recorder(self) -> LogProcessRecorder:
        recorder_class = self._configured_class(self.PROCESS_RECORDER_TOPIC, self.process_recorder_class)
        return self._with_tables(recorder_class(self.database, read_id=self._read_id))

    def close(self) -> None:
        """Closes the database. Its recorders cannot be used any more."""
        self.database.close()

    def _with_tables(self, recorder: _Recorder) -> _Recorder:
        if strtobool(self.env.get(self.CREATE_TABLE, "") or "yes"):
            recorder.create_tables()
        return recorder

    def _configured_class(self, key: str, default: type[_Recorder]) -> type[_Recorder]:
        topic = self.env.get(key)
        if not topic:
            return default
        recorder_class = resolve_topic(topic)
        if not (isinstance(recorder_class, type) and issubclass(recorder_class, default)):
            raise OSError(f"{key}: {topic!r} is not a kind of {default.__name__}")
        return recorder_class

    def _configured_location(self) -> Location:
        name = self.env.get(self.SQLITE_DBNAME)
        if not name:
            keys = ", ".join(self.env.create_keys(self.SQLITE_DBNAME))
            raise OSError(f"the name of the database is not in the environment; it is looked for as {keys}")
        return Location.parse(name)

    def _configured_lock_timeout_seconds(self) -> int:
        text = (self.env.get(self.SQLITE_LOCK_TIMEOUT) or "").strip()
        if text and not text.isdecimal():
            raise OSError(f"{self.SQLITE_LOCK_TIMEOUT}: {text!r} is not a number of seconds")
        return int(text) if text else 5

    def _configured_read_id(self) -> Callable[[str], UUID | str]:
        match self.env.get(self.ORIGINATOR_ID_TYPE, "uuid").lower():
            case "uuid":
                return uuid_or_text
            case "text":
                return str
            case unknown:
                raise OSError(f"{self.ORIGINATOR_ID_TYPE}: {unknown!r} is neither 'uuid' nor 'text'")
