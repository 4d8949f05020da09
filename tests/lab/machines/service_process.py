"""The service as a process of its own with its nats-server, to be started, frozen, killed and ended."""

import json
import os
import random
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ops.store.data_directory import Runtime, read_runtime
from tests.lab.experiment import Broken
from tests.lab.machines.starter import Started, Starter
from tests.support.patience import patiently, until, wait_for
from tests.support.services.command_line import PROGRAM, environment

# The promised time within which all is well again after any fault.
WELL_WITHIN_SECONDS = patiently(10.0)
ENDS_WITHIN_SECONDS = 60.0
# Below the ports that a system gives away, so that no program takes a nats-server's port while it is away.
PORTS = range(20_000, 32_000)


class Command:
    """A command of `hyperpage` that was started."""

    def __init__(self, process: Started, words: Sequence[str], out: Path) -> None:
        self._process = process
        self._words = words
        self._out = out

    async def code(self) -> int:
        """Its exit code, once it has ended."""
        await until(lambda: self._process.poll() is not None, ENDS_WITHIN_SECONDS)
        code = self._process.poll()
        assert code is not None
        return code

    async def answer(self) -> Any:
        """The command's output, decoded from JSON.

        Raises:
            Broken: the command failed.
        """
        if (code := await self.code()) != 0:
            raise Broken(f"hyperpage {' '.join(self._words)} ended with {code}: {self._out.read_text()}")
        return json.loads(self._out.read_text())


class ServiceProcess:
    """`hyperpage serve` on a folder; `log` has the output of all its starts.

    `starter` starts it sooner, in a network `namespace` if one is given; otherwise `before` is the command
    that runs it, such as `prlimit`. `variables` are those of its environment, as HYPERPAGE_….
    """

    def __init__(
        self,
        data: Path,
        *options: str,
        starter: Starter | None = None,
        before: Sequence[str] = (),
        variables: Mapping[str, str] = MappingProxyType({}),
        namespace: Path | None = None,
    ) -> None:
        self.data = data
        self.log = data.parent / f"{data.name}.log"
        self._starter = starter
        self._before = before
        self._namespace = namespace
        self._arguments = [
            "serve",
            "--data",
            str(data),
            "--nats-port",
            str(_free_port()),
            "--no-http",
            *options,
        ]
        # On a disk of some hundred MiB, the usual limits would always be reached.
        self._variables = {"HYPERPAGE_DISK_FREE_DEGRADED_MIB": "0", "HYPERPAGE_DISK_FREE_UNHEALTHY_MIB": "0"}
        self._variables |= dict(variables)
        self._process: subprocess.Popen[bytes] | Started | None = None

    def start_by(self, starter: Starter) -> None:
        """Makes the next start use the program that this starter has loaded."""
        self._starter = starter

    def launch(self) -> None:
        """Starts the process without waiting for it."""
        if self._starter is not None:
            self._process = self._starter.start(
                self._arguments, self.log, self._variables, namespace=self._namespace
            )
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._before, *PROGRAM, *self._arguments],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=environment(**self._variables),
            )

    async def start(self) -> None:
        """Starts the service; it serves when this returns.

        Raises:
            Broken: it does not.
        """
        self.launch()
        try:
            await until(lambda: self.has_ended or self.is_announced, WELL_WITHIN_SECONDS)
        except TimeoutError:
            raise Broken(
                f"the service is not ready after {WELL_WITHIN_SECONDS:g} s: {self.last_words}"
            ) from None
        if self.has_ended:
            raise Broken(f"the service did not start: {self.last_words}")

    @property
    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-1500:] if self.log.exists() else ""

    @property
    def runtime(self) -> Runtime:
        found = read_runtime(self.data)
        assert found is not None
        return found

    @property
    def is_announced(self) -> bool:
        """True if the process that was started last has announced that it serves."""
        found = read_runtime(self.data)
        return self._process is not None and found is not None and found.pid == self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    @property
    def process_id(self) -> int:
        assert self._process is not None
        return self._process.pid

    def server_ids(self) -> list[int]:
        """The process of its nats-server, if there is one now."""
        found = subprocess.run(
            ["pgrep", "-P", str(self.process_id), "nats-server"], capture_output=True, text=True, check=False
        )
        return [int(one) for one in found.stdout.split()]

    def send(self, what: str, number: signal.Signals) -> None:
        """Sends a signal to "service", "nats-server" or "both", if they still run."""
        targets = self.server_ids() if what != "service" else []
        if what != "nats-server" and not self.has_ended:
            targets.append(self.process_id)
        for one in targets:
            try:
                os.kill(one, number)
            except ProcessLookupError:
                continue

    def kill(self) -> None:
        """Kills it and its nats-server; when this returns, it is gone, and its nats-server soon will be."""
        if self._process is not None and not self.has_ended:
            self.send("both", signal.SIGKILL)
            wait_for(lambda: self.has_ended, ENDS_WITHIN_SECONDS)

    def command(self, *arguments: str) -> "Command":
        """Starts a command of `hyperpage` about this service's folder."""
        assert self._starter is not None
        out = self.data.parent / f"{self.data.name}.out"
        out.unlink(missing_ok=True)
        words = [*arguments, "--json", "--data", str(self.data)]
        return Command(self._starter.start(words, self.log, self._variables, out=out), words, out)

    async def stop(self) -> None:
        """Stops it as an operator does.

        Raises:
            Broken: it does not end, or not with 0.
        """
        self.send("service", signal.SIGTERM)
        try:
            await until(lambda: self.has_ended, ENDS_WITHIN_SECONDS)
        except TimeoutError:
            raise Broken(
                f"the service does not end within {ENDS_WITHIN_SECONDS:g} s: {self.last_words}"
            ) from None
        assert self._process is not None
        if (code := self._process.poll()) != 0:
            raise Broken(f"the service ended with {code}: {self.last_words}")


def _free_port() -> int:
    while True:
        # Not from the trial's seed, since trials may run at the same time.
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port
