"""A driver for PostgreSQL: `… by_postgresql FOLDER-OF-ITS-SOCKET MOST-CONNECTIONS`.

Each request is a transaction of its own that inserts an event and a job's row: one prepared statement, one
round trip, which is the quickest way. A connection carries one at a time; the tables have primary keys,
without which no user would run them, and no other index.
"""

import asyncio
import importlib
import json
import sys
import uuid
from typing import Any

from tests.benchmarks.drivers.contents import JOB
from tests.benchmarks.drivers.rounds import by_tasks, serve

SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stream TEXT NOT NULL, version INTEGER NOT NULL,
    type TEXT NOT NULL, command_id TEXT NOT NULL, data JSON NOT NULL, UNIQUE (stream, version));
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, type TEXT NOT NULL, name TEXT NOT NULL, priority INTEGER NOT NULL,
    payload JSON NOT NULL, position BIGINT NOT NULL);
"""
ENQUEUE = """
WITH event AS (
    INSERT INTO events (stream, version, type, command_id, data)
    VALUES ('jobs/' || $1, 1, 'job.enqueued.v1', $2, $3) RETURNING position)
INSERT INTO jobs SELECT $1, $4, $5, $6, $7, position FROM event
"""


async def drive(folder: str, most: int) -> None:
    asyncpg: Any = importlib.import_module("asyncpg")
    where = {"host": folder, "user": "benchmark", "database": "postgres"}
    first = await asyncpg.connect(**where)
    await first.execute(SCHEMA)
    await first.close()
    connections: list[Any] = []
    free: asyncio.Queue[Any] = asyncio.Queue()
    data, payload = json.dumps(JOB), json.dumps(JOB["payload"])

    async def enqueue() -> None:
        statement = await free.get()
        values = (data, JOB["type"], JOB["name"], JOB["priority"], payload)
        await statement.fetch(str(uuid.uuid4()), str(uuid.uuid4()), *values)
        free.put_nowait(statement)

    async def connect(in_flight: int) -> None:
        while len(connections) < min(in_flight, most):
            connections.append(await asyncpg.connect(**where))
            free.put_nowait(await connections[-1].prepare(ENQUEUE))

    await serve(by_tasks(enqueue), prepare=connect)
    for one in connections:
        await one.close()


if __name__ == "__main__":
    asyncio.run(drive(sys.argv[1], int(sys.argv[2])))
