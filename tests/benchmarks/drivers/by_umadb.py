"""A driver for UmaDB: `… by_umadb URL`. Each request appends an event, if its job has none so far.

Its client is written in Rust, and gives the interpreter's lock away while it waits, so that threads share one
connection. With a connection for each thread, it is a fifth slower.
"""

import asyncio
import importlib
import json
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.benchmarks.drivers.contents import JOB
from tests.benchmarks.drivers.rounds import serve


def main() -> None:
    # Not among our packages: it is in the environment of the peers alone.
    umadb: Any = importlib.import_module("umadb")
    client = umadb.Client(sys.argv[1])
    data = json.dumps(JOB, separators=(",", ":")).encode()

    def append() -> None:
        tags = [f"job:{uuid.uuid4()}"]
        none_of_it = umadb.AppendCondition(umadb.Query([umadb.QueryItem(tags=tags)]))
        client.append([umadb.Event("job.enqueued.v1", data, tags=tags, uuid=uuid.uuid4())], none_of_it)

    def keep_appending(until: float) -> list[float]:
        latencies = []
        while (began := time.perf_counter()) < until:
            append()
            latencies.append(time.perf_counter() - began)
        return latencies

    async def run(in_flight: int, until: float) -> list[float]:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(in_flight) as threads:
            found = [loop.run_in_executor(threads, keep_appending, until) for _ in range(in_flight)]
            return [one for latencies in await asyncio.gather(*found) for one in latencies]

    asyncio.run(serve(run))


if __name__ == "__main__":
    main()
