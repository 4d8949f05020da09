"""The adapter of the Python client without an event loop: its methods are called in threads."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from conformance import adapter
from hyperpage_client import sync

# How many threads there are: one for each question under way, and one that reads lines.
MAXIMUM_AT_ONCE = 200


class InThreads:
    """The methods of a synchronous client as coroutines, each of which waits for a thread."""

    def __init__(self, client: sync.Client) -> None:
        self.waiting = client

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        method = getattr(self.waiting, name)

        async def call(*arguments: Any, **options: Any) -> Any:
            return await asyncio.to_thread(method, *arguments, **options)

        return call


class Connection(adapter.Connection):
    """One synchronous client. It has no worker, and no other thread can end its subscription."""

    parts = ("reads_own_writes", "list", "batch", "durable", "credentials", "int64")

    async def open(self, line: adapter.Line) -> adapter.Line:
        options = {"credentials": line.get("credentials"), **adapter.seconds_of(line)}
        self._client = InThreads(await asyncio.to_thread(sync.opened, line["url"], **options))
        return {}

    async def close(self) -> adapter.Line:
        await self.client.close()
        return {}

    async def list(self, line: adapter.Line) -> adapter.Line:
        table = line["query"].removesuffix(".list")
        items = self.client.waiting.list(table, **line["body"])
        return {"items": await asyncio.to_thread(lambda: [*items])}


async def main() -> None:
    """Takes lines from the input, to its end."""
    with ThreadPoolExecutor(MAXIMUM_AT_ONCE) as threads:
        asyncio.get_running_loop().set_default_executor(threads)
        await adapter.Adapter("hyperpage_client.sync, in Python", Connection).run(sys.stdin)


if __name__ == "__main__":
    asyncio.run(main())
