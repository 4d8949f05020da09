"""A persistence module of the eventsourcing library: its applications run on the service's log.

    PERSISTENCE_MODULE=bus.event_store
    SQLITE_DBNAME=/path/to/application.db

Events go into the table `events`, chained by their hashes; snapshots and tracking into tables of their own.
Unlike the library's own SQLite module, recorders can be subscribed to. One file holds one application: give
each application of a system its own, with a key that its name prefixes (`TRAININGS_SQLITE_DBNAME`). Never the
file of a running service, whose writer relies on being the only one.

| key | meaning | default |
|---|---|---|
| `SQLITE_DBNAME` | a path, `:memory:`, or a `file:` URI (see `Location`) | none: it is needed |
| `SQLITE_LOCK_TIMEOUT` | whole seconds to wait for a writer, or for a free reading connection | 5 |
| `ORIGINATOR_ID_TYPE` | `uuid`: ids written as UUIDs come back as such; `text`: all as text | `uuid` |
| `CREATE_TABLE` | whether missing tables are made | yes |

The library's `SINGLE_ROW_TRACKING` has no effect: one row for each upstream application is always enough.

factory       makes the recorders for the library
database      the file, and the connections to it
recorders     the library's recorders, on the log
subscription  events as they are committed
mapper        events as msgspec structs
"""

from bus.event_store.factory import Factory

__all__ = ["Factory"]
