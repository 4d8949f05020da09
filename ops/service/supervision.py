"""Tells a supervisor such as systemd whether the service is ready, alive or stopping: `Supervisor`.

The protocol is datagrams with lines of NAME=VALUE to the socket that `NOTIFY_SOCKET` names. Without that
variable, nothing is sent. https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Literal

# How often the status is sent, unless the watchdog asks for more.
INTERVAL_SECONDS = 10.0
# How much more time each message asks for during a start or a stop: longer than an interval, and than a disk
# may hang. A start that checks a large store after a crash takes minutes.
EXTENSION_SECONDS = 60

Phase = Literal["starting", "serving", "restoring", "stopping"]


class Supervisor:
    """The program that started this process and monitors it, if any. Used from the event loop only."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        address = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the zero byte with which names of abstract sockets begin.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        # Opened at the start: a process that is out of files is still alive, and must be able to say so.
        self._sender = _sender() if address else None
        self._interval_seconds = INTERVAL_SECONDS
        watched = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        if watched and (watchdog_us := environment.get("WATCHDOG_USEC", "")).isdigit():
            # Twice as often as the watchdog demands, as its manual advises.
            self._interval_seconds = min(INTERVAL_SECONDS, int(watchdog_us) / 2_000_000)
        self._phase: Phase = "starting"
        self._is_alive: Callable[[], bool] = lambda: True
        self._says: Callable[[], str] | None = None
        # A change that could not be sent yet.
        self._change = ""

    def enter(
        self,
        phase: Phase,
        *,
        is_alive: Callable[[], bool] = lambda: True,
        says: Callable[[], str] | None = None,
    ) -> None:
        """Tells the supervisor at once that a phase begins.

        `is_alive` says whether the service should go on running, as `/livez` does: once it is false, the
        watchdog gets no more messages, and the supervisor restarts the process. `says` gives a short status.
        """
        self._phase, self._is_alive, self._says = phase, is_alive, says
        self._change = {"serving": "READY=1", "stopping": "STOPPING=1"}.get(phase, "")
        self._tell()

    def close(self) -> None:
        """Closes the socket; no more messages are sent."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    async def run(self) -> None:
        """Sends the status again and again. Ends at once if there is no supervisor."""
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
        # If the supervisor's queue is full, or it is away, the next interval tries again.
        with suppress(OSError):
            self._sender.sendto("\n".join(filter(None, lines)).encode(), self._address)
            self._change = ""


def _sender() -> socket.socket:
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    # A supervisor that does not read must not block the service.
    sender.setblocking(False)
    return sender
