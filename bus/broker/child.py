"""One nats-server process: started, tied to the life of the service's process, and ended."""

import asyncio
import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from bus.broker.tether import NEEDS_PIPE, NO_PIPE, tethered

# A child normally ends in some milliseconds; one that is suspended or stuck is killed after this time.
STOP_TIMEOUT_MS = 3_000
# How often the log is looked at while a line is awaited; nothing tells us when it comes.
LOOK_AT_LOG_MS = 10
# The most that is read of the log at one look; more of it would say the same.
NEWS_BYTES = 64 * 1024
# The only environment variables that the child gets, as others may hold passwords and keys of buckets: the
# folders of libraries (for the Python that ties it), the time zone of its log, and the settings of Go
# programs.
ENVIRONMENT = ("LD_LIBRARY_PATH", "TZ", "GOGC", "GOMAXPROCS", "GOMEMLIMIT")
# nats-server logs this for each message that it could not write, and not for one that a limit refuses.
_WRITE_FAILURE = re.compile(rb"\[ERR\] JetStream (failed to store a msg|stream .* critical write error)")


class NatsChild:
    """A running child; `exited` is done when it has ended, for any reason.

    The child does not outlive this process: see `bus.broker.tether`.
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

        The child inherits the descriptor `keep_open`, and the environment variables named in `ENVIRONMENT`.
        """
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
            # Measured before the child runs: a child that fails at once may have written by the time that its
            # start returns.
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
        """Ends the child with SIGTERM, or SIGKILL if that takes too long; returns when it is gone."""
        if not self.exited.done():
            self.process.terminate()
            await asyncio.wait({self.exited}, timeout=STOP_TIMEOUT_MS / 1000)
        if not self.exited.done():
            self.process.kill()
        await asyncio.wait({self.exited})

    async def read_configuration_again(self, *, within_ms: int) -> str | None:
        """`None` when the child has read its configuration again; otherwise the reason why it has not."""
        if self.exited.done() or self.process.returncode is not None:
            return "it has ended"
        begin = self._log.stat().st_size
        self.process.send_signal(signal.SIGHUP)
        for _ in range(within_ms // LOOK_AT_LOG_MS):
            await asyncio.wait({self.exited}, timeout=LOOK_AT_LOG_MS / 1000)
            with self._log.open("rb") as log:
                # If the log is smaller than before, it has just been rotated.
                log.seek(begin if begin <= log.seek(0, os.SEEK_END) else 0)
                said = log.read()
            if b"Reloaded server configuration" in said:
                return None
            # Other errors are about clients, such as one that is refused at this moment.
            if b"Failed to reload server configuration" in said or self.exited.done():
                return " / ".join(said.decode(errors="replace").split("\n")).strip(" /")[-2_000:]
        return "it does not say whether it has"

    def has_failed_to_write(self) -> bool:
        """Whether the log reports a failed write of a stream since the last call."""
        try:
            with self._log.open("rb") as log:
                end = log.seek(0, os.SEEK_END)
                # The log is rotated when it has grown too large.
                begin = self._looked_at_bytes if self._looked_at_bytes <= end else 0
                log.seek(max(begin, end - NEWS_BYTES))
                news = log.read(NEWS_BYTES)
        except OSError:
            # The folder was deleted, or cannot be read now: a later look sees what the log says.
            return False
        self._looked_at_bytes = end
        return _WRITE_FAILURE.search(news) is not None

    def last_words(self) -> str:
        """The end of what the child wrote to the log since its start, on one line."""
        written = self._log.read_bytes()[self._logged_before_bytes :][-2_000:]
        return " / ".join(written.decode(errors="replace").split("\n")).strip(" /") or "it wrote nothing"


def _close(descriptor: int) -> None:
    if descriptor != NO_PIPE:
        os.close(descriptor)
