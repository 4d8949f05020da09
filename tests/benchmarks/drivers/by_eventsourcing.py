"""A driver for the library `eventsourcing` on SQLite, in this process: `… by_eventsourcing FILE`.

Each request saves a new aggregate with one event, as its applications do, through the library's own recorder
for SQLite. There is no server and no network between; one request at a time.
"""

import asyncio
import importlib
import sys
from typing import Any

from tests.benchmarks.drivers.contents import JOB
from tests.benchmarks.drivers.rounds import by_tasks, serve


def main() -> None:
    application: Any = importlib.import_module("eventsourcing.application")
    domain: Any = importlib.import_module("eventsourcing.domain")

    class Job(domain.Aggregate):  # type: ignore[misc]  # known when this runs
        def __init__(self, type: str, name: str, priority: int, payload: Any) -> None:  # noqa: A002
            self.type, self.name, self.priority, self.payload = type, name, priority, payload

    jobs = application.Application(
        env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": sys.argv[1]}
    )

    async def enqueue() -> None:
        jobs.save(Job(**JOB))

    asyncio.run(serve(by_tasks(enqueue)))


if __name__ == "__main__":
    main()
