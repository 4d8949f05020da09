"""A service as a process of its own, which can be killed and started again."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ops.store.data_directory import read_runtime
from tests.support.patience import until
from tests.support.repository import ROOT

READY_SECONDS = 30.0


class Killable:
    """The service as a process of its own, which can be killed and started again.

    `program` is the module that is run, with what it takes before the arguments of `hyperpage`.
    """

    def __init__(self, folder: Path, program: Sequence[str] = ("ops.cli",)) -> None:
        self.folder = folder
        self.program = program
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> "subprocess.Popen[bytes]":
        """Starts the process, and waits for nothing."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", *self.program, "serve", "--data", str(self.folder), "--nats-port", "0"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            # Inherited: pytest shows it beside a failure.
        )
        return self._process

    async def start(self) -> None:
        """Returns when it serves."""
        process = self.launch()

        def is_ready() -> bool:
            assert process.poll() is None, "the service did not start"
            return self.is_announced

        await until(is_ready, READY_SECONDS)

    @property
    def is_announced(self) -> bool:
        """Whether the process that was started last has said that it serves."""
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
        # The tether has become the nats-server: a child of the service.
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
        """Has the service get a signal, and not its nats-server."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            assert self._process.wait(timeout=30) == 0
