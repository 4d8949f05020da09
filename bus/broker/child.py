"""One nats-server process: started, tied to the life of this one, ended."""

import asyncio
import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from bus.broker.tether import NEEDS_PIPE, NO_PIPE, tethered

# A child ends in some milliseconds; one that is stopped or stuck is killed after this time.
STOP_TIMEOUT_MS = 3_000
# How often its log is looked at while something is awaited there; nothing tells when it comes.
LOOK_AT_LOG_MS = 10
# The most that is read of the log at one look; more of it would say the same.
NEWS_BYTES = 64 * 1024
# All that it gets of this process's variables, which may hold passwords and keys of buckets: where libraries
# lie (for the Python that ties it), the zone of its log's times, and what any program in Go may be told.
ENVIRONMENT = ("LD_LIBRARY_PATH", "TZ", "GOGC", "GOMAXPROCS", "GOMEMLIMIT")
# nats-server logs this for each message that it could not write, and not for one that a limit refuses.
_WRITE_FAILURE = re.compile(rb"\[ERR\] JetStream (failed to store a msg|stream .* critical write error)")


class NatsChild:
    """A running child; `exited` is done when it has ended, for whatever reason.

    Nothing outlives this process: see `bus.broker.tether`.
    """

    def __init__(self, process: asyncio.subprocess.Process, log: Path, logged_before_bytes: int) -> None:
        self.process = process
        self.exited = asyncio.create_task(process.wait())
        self._log = log
        self._logged_before_bytes = logged_before_bytes
        self._looked_at_bytes = logged_before_bytes

    @classmethod
    async def spawn(cls, command: Sequence[str], *, log: Path, keep_open: int) -> Self:
        """Runs `command`, which appends its output to `log`.

        Of this process it inherits the descriptor `keep_open`, and of its variables those of `ENVIRONMENT`.
        """
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
            # Before it runs: one that ends at once may have written by the time that its start returns.
            logged_before_bytes = os.fstat(output.fileno()).st_size
            read_end, write_end = os.pipe() if NEEDS_PIPE else (NO_PIPE, NO_PIPE)
            inherited = [keep_open, read_end] if NEEDS_PIPE else [keep_open]
            try:
                child = cls(
                    await asyncio.create_subprocess_exec(
                        *tethered(command, pipe=read_end),
                        stdin=asyncio.subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        pass_fds=inherited,
                        env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
                        # Ctrl-C goes to a terminal's whole group; the service drains first, and then ends
                        # the child.
                        start_new_session=True,
                    ),
                    log,
                    logged_before_bytes,
                )
            except BaseException:
                _close(write_end)
                raise
            finally:
                _close(read_end)
        child.exited.add_done_callback(lambda _: _close(write_end))
        return child

    async def end(self) -> None:
        """Returns when it is gone: asked to (SIGTERM), then killed."""
        if not self.exited.done():
            self.process.terminate()
            await asyncio.wait({self.exited}, timeout=STOP_TIMEOUT_MS / 1000)
        if not self.exited.done():
            self.process.kill()
        await asyncio.wait({self.exited})

    async def read_configuration_again(self, *, within_ms: int) -> str | None:
        """Returns when it has; otherwise the reason why it has not."""
        if self.exited.done() or self.process.returncode is not None:
            return "it has ended"
        begin = self._log.stat().st_size
        self.process.send_signal(signal.SIGHUP)
        for _ in range(within_ms // LOOK_AT_LOG_MS):
            await asyncio.wait({self.exited}, timeout=LOOK_AT_LOG_MS / 1000)
            size = self._log.stat().st_size
            # One that grew too large was put aside in this moment.
            said = self._log.read_bytes()[begin if begin <= size else 0 :]
            if b"Reloaded server configuration" in said:
                return None
            # Other errors are those of clients, such as one that it does not let in at this moment.
            if b"Failed to reload server configuration" in said or self.exited.done():
                return " / ".join(said.decode(errors="replace").split("\n")).strip(" /")[-2_000:]
        return "it does not say whether it has"

    def has_failed_to_write(self) -> bool:
        """Whether a stream could not be written since this was asked last."""
        try:
            with self._log.open("rb") as log:
                end = log.seek(0, os.SEEK_END)
                # A log that grew too large is put aside, and a new one begins.
                begin = self._looked_at_bytes if self._looked_at_bytes <= end else 0
                log.seek(max(begin, end - NEWS_BYTES))
                news = log.read(NEWS_BYTES)
        except OSError:
            # Somebody has wiped the folder, or it cannot be read now: what it says is seen by a later look.
            return False
        self._looked_at_bytes = end
        return _WRITE_FAILURE.search(news) is not None

    def last_words(self) -> str:
        """The end of what it wrote to the log since its start, on one line."""
        written = self._log.read_bytes()[self._logged_before_bytes :][-2_000:]
        return " / ".join(written.decode(errors="replace").split("\n")).strip(" /") or "it wrote nothing"


def _close(descriptor: int) -> None:
    if descriptor != NO_PIPE:
        os.close(descriptor)
