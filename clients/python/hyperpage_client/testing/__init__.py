"""Tests of programs that enqueue jobs, without a service: a queue in memory, and its clock.

    with memory_queue(app) as queue:
        job = await fetch.configure(delay=60).enqueue(url="https://example.com")
        queue.clock.advance(60)
        await queue.drain()
        assert await job.result() == 200

memory              the queue in memory
service             a real service, in a folder of its own; `hyperpage_client.pytest_plugin` has fixtures
conformance         checks with generated commands that an aggregate of yours keeps the laws
client_conformance  a program that checks that a client, in any language, does what clients must
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyperpage_client.testing.memory import Clock, MemoryJob, MemoryQueue, memory_queue

__all__ = ["Clock", "MemoryJob", "MemoryQueue", "memory_queue"]


# Loaded on first use: sessions of pytest that only start a service load no client.
def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hyperpage_client.testing import memory

    return getattr(memory, name)
