"""A service as a process of its own, which can be killed and started again."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from ops.store.data_directory import read_runtime
from tests.support.patience import until
from tests.support.repository import ROOT
from tests.support.services.command_line import started
from tests.support.services.prepared import Prepared

READY_SECONDS = 30.0
OURS = ("ops.cli",)
Process: TypeAlias = "Prepared | subprocess.Popen[str]"


class Killable:
    """The service as a process of its own, which can be killed and started again.

    `program` is the module that is run, with what it takes before the arguments of `hyperpage`.
    """

    def __init__(self, folder: Path, program: Sequence[str] = OURS) -> None:
        self.folder = folder
        self.program = program
        self._process: Process | None = None

    def launch(self) -> Process:
        """Starts the process without waiting for it."""
        arguments = ["serve", "--data", str(self.folder), "--nats-port", "0"]
        # Its stderr is ours, so that pytest shows it beside a failure.
        with Path(os.devnull).open("wb") as nowhere, os.fdopen(os.dup(2), "wb") as errors:
            if self.program == OURS:
                self._process = started(arguments, {}, stdout=nowhere, stderr=errors, folder=ROOT)
            else:
                program = [sys.executable, "-m", *self.program, *arguments]
                self._process = subprocess.Popen(program, cwd=ROOT, stdout=nowhere, stderr=errors, text=True)
        return self._process

    async def start(self) -> None:
        """Starts the service; it serves when this returns."""
        process = self.launch()

        def is_ready() -> bool:
            assert process.poll() is None, "the service did not start"
            return self.is_announced

        await until(is_ready, READY_SECONDS)

    @property
    def is_announced(self) -> bool:
        """True if the process that was started last has announced that it serves."""
        found = read_runtime(self.folder)
        return self._process is not None and found is not None and found.pid == self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    @property
    def url(self) -> str:
        runtime = read_runtime(self.folder)
        assert runtime is not None
        return runtime.nats_url

    def kill(self, what: str) -> None:
        assert self._process is not None
        # nats-server is a child of the service: the tether has become it.
        found = subprocess.run(
            ["pgrep", "-P", str(self._process.pid), "nats-server"],
            capture_output=True,
            text=True,
            check=False,
        )
        if what in ("nats-server", "both"):
            for child in found.stdout.split():
                os.kill(int(child), signal.SIGKILL)
        if what in ("service", "both"):
            self._process.kill()
            self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the service, but not to its nats-server."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            assert self._process.wait(timeout=30) == 0
