"""The process of a nats-server that starts again when it has ended; tests freeze and kill it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from bus.broker.server import NatsServer
from tests.support.patience import until


def send_signal(server: NatsServer, number: signal.Signals) -> None:
    """Sends a signal to the process."""
    process_id = server.process_id
    assert process_id is not None
    os.kill(process_id, number)


async def freeze(server: NatsServer) -> None:
    """Stops the process, with its connections open; it stands still when this returns."""
    send_signal(server, signal.SIGSTOP)
    threads = Path(f"/proc/{server.process_id}/task")
    await until(lambda: all(_state_of(thread) == "T" for thread in threads.iterdir()))


async def kill(server: NatsServer, *, on_its_files: Callable[[], object] | None = None) -> None:
    """Kills the process; returns when the next one serves.

    `on_its_files` changes the files between the two: while the process stands still, since the next one
    starts as soon as it has ended.
    """
    restarts = server.restarts
    if on_its_files is not None:
        await freeze(server)
        on_its_files()
    send_signal(server, signal.SIGKILL)
    await until(lambda: server.restarts > restarts)


def _state_of(thread: Path) -> str:
    # The state is behind the name, which is in brackets and may have any signs in it.
    return (thread / "stat").read_text().rpartition(") ")[2][0]
