"""Tells a supervisor such as systemd whether the service is ready, alive or stopping: `Supervisor`.

The protocol is datagrams to the socket that `NOTIFY_SOCKET` names, lines of NAME=VALUE; without that
variable, nobody is told anything. https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Literal

# How often it is told how it is, where the watchdog does not ask for more.
INTERVAL_SECONDS = 10.0
# How much longer a start or a stop may take, each time that it is said to be under way: longer than an
# interval and than a disk hangs for a while. A start that checks a large store after a crash takes minutes.
EXTENSION_SECONDS = 60

Phase = Literal["starting", "serving", "restoring", "stopping"]


class Supervisor:
    """The program that started this process and watches over it; may be none. Belongs to the event loop."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        address = environment.get("NOTIFY_SOCKET", "")
        # The leading @ stands for the byte with which the names of abstract sockets begin.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        # Open from the start: where this process may open nothing more, it is alive all the same.
        self._sender = _sender() if address else None
        self._interval_seconds = INTERVAL_SECONDS
        watched = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        if watched and (watchdog_us := environment.get("WATCHDOG_USEC", "")).isdigit():
            # Twice as often as the watchdog demands, as its manual advises.
            self._interval_seconds = min(INTERVAL_SECONDS, int(watchdog_us) / 2_000_000)
        self._phase: Phase = "starting"
        self._is_alive: Callable[[], bool] = lambda: True
        self._says: Callable[[], str] | None = None
        # Changes that could not be told yet.
        self._change = ""

    def enter(
        self,
        phase: Phase,
        *,
        is_alive: Callable[[], bool] = lambda: True,
        says: Callable[[], str] | None = None,
    ) -> None:
        """Tells at once what is done from now on.

        `is_alive` answers meanwhile whether it makes sense to go on, as `/livez` does: once it does not, the
        supervisor hears nothing more, and starts the process again. `says` answers how it is, in a few words.
        """
        self._phase, self._is_alive, self._says = phase, is_alive, says
        self._change = {"serving": "READY=1", "stopping": "STOPPING=1"}.get(phase, "")
        self._tell()

    def close(self) -> None:
        """Tells nobody anything more."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    async def run(self) -> None:
        """Tells again and again that it is alive, for as long as it is. Ends at once where nobody listens."""
        while self._sender is not None:
            self._tell()
            await asyncio.sleep(self._interval_seconds)

    def _tell(self) -> None:
        if self._sender is None:
            return
        takes_its_time = self._phase in ("starting", "stopping")
        lines = (
            self._change,
            f"STATUS={self._phase if self._says is None else self._says()}",
            "WATCHDOG=1" if self._is_alive() else "",
            f"EXTEND_TIMEOUT_USEC={EXTENSION_SECONDS * 1_000_000}" if takes_its_time else "",
        )
        # Where its queue is full, or it is not there, the next interval tries again.
        with suppress(OSError):
            self._sender.sendto("\n".join(filter(None, lines)).encode(), self._address)
            self._change = ""


def _sender() -> socket.socket:
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    # A supervisor that does not read must not hold the service up.
    sender.setblocking(False)
    return sender
