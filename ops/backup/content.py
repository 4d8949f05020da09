"""The content of a store's file in figures: enough to tell whether a copy has the same content."""

from contextlib import closing
from pathlib import Path

import apsw
import msgspec

from bus.log import chain
from bus.log.cloud_events import read_origin
from migrations import runner
from migrations.connection import open_reader
from migrations.runner import MigrationError
from migrations.schema import SchemaDiffersError, require_own_schema
from migrations.sqlite_words import words_of
from ops.store.troubles import require_damage
from ops.targets.errors import BackupError

_TABLES = (
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
    " ORDER BY name"
)


class StoreContent(msgspec.Struct, frozen=True):
    """A store's content at one moment."""

    store_id: str
    timelines: tuple[tuple[int, int], ...]
    """Number and first position of each, in order."""
    head: chain.Head
    first_recorded_at: int | None
    rows: dict[str, int]
    migrations: list[str]

    @property
    def timeline(self) -> int:
        return self.timelines[-1][0] if self.timelines else 0


def read_content(connection: apsw.Connection) -> StoreContent:
    """The content of the store as this connection sees it.

    Raises:
        apsw.Error: the file is no store.
    """
    origin = read_origin(connection)
    return StoreContent(
        store_id=origin.store_id,
        timelines=origin.timelines,
        head=chain.read_head(connection),
        first_recorded_at=connection.execute("SELECT recorded_at FROM events ORDER BY position LIMIT 1").get,
        rows={
            name: connection.execute(f'SELECT count(*) FROM "{name}"').get
            for (name,) in connection.execute(_TABLES)
        },
        migrations=[one.name for one in runner.status(connection) if one.applied],
    )


def require_shape(connection: apsw.Connection, name: str) -> None:
    """Returns if a file has the schema that its migrations make, and nothing beside it.

    Raises:
        BackupError: the schema is different, is another version's, or cannot be read.
    """
    try:
        require_own_schema(connection, name)
    except SchemaDiffersError as error:
        raise BackupError("schema_differs", error.message, error.hint) from error
    except MigrationError as error:
        raise BackupError("unknown_format", f"{name}: {error.message}", error.hint) from error
    except (apsw.Error, UnicodeDecodeError) as error:
        require_damage(error, name)
        raise BackupError("damaged", f"{name} is no sound SQLite file: {words_of(error)}") from error


def store_id_of(store: Path) -> str | None:
    """The id of the store in a file; `None` if there is no store in it, or its id cannot be read."""
    try:
        with closing(open_reader(store)) as connection:
            return read_origin(connection).store_id
    except apsw.Error:
        return None
