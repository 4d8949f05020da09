"""A real service for tests, in a folder of its own: started, killed, started again."""

import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

START_SECONDS = 60.0
STOP_SECONDS = 30.0
COMMAND_SECONDS = 60.0
# How much of the output of a program that failed is repeated in the error.
MAXIMUM_SAID_CHARACTERS = 4_000


class NoServiceError(Exception):
    """There is no program to start, it did not start, or a command of it failed; the text says more."""


class Service(NamedTuple):
    """A running service: the address of its NATS, that of its HTTP (empty: it has none), and its folder."""

    url: str
    http_url: str
    folder: Path


class OwnService:
    """A service on `folder`/data, which can be started again and again; used by one thread at a time.

    `options` are options of `hyperpage serve`, beside the folder; `variables` are added to the environment
    of the caller.
    """

    def __init__(
        self, folder: Path, options: Sequence[str], *, variables: Mapping[str, str] | None = None
    ) -> None:
        self.data = folder / "data"
        self._log = folder / "service.log"
        self._options = options
        self._environment = {**os.environ, **(variables or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._served: Service | None = None

    @property
    def url(self) -> str:
        """The address of its NATS when it was started last; empty before the first start."""
        return self._served.url if self._served is not None else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Service:
        """Starts the service, and returns when it is ready.

        Raises:
            NoServiceError: there is no program to start, or it did not start.
        """
        runtime = self.data / "runtime.json"
        # The file of a service that was killed names an address where nothing listens any more.
        runtime.unlink(missing_ok=True)
        command = [*program(), "serve", "--data", str(self.data), *self._options]
        with self._log.open("ab") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=self._environment
            )
        self._process = process
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                said = json.loads(runtime.read_bytes())
                self._served = Service(said["nats_url"], said["http_url"] or "", self.data)
                return self._served
            except (OSError, ValueError, KeyError):
                time.sleep(0.02)
        said = self._log.read_text(errors="replace")[-MAXIMUM_SAID_CHARACTERS:]
        self.stop()
        raise NoServiceError(f"the service did not start:\n{said}")

    def kill(self) -> None:
        """Ends it at once, with `kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Ends it in order, or kills it if that takes too long."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def command(self, *arguments: str) -> str:
        """The output of a command of the command line about this service.

        Raises:
            NoServiceError: the command failed, or took too long.
        """
        try:
            done = subprocess.run(
                [*program(), *arguments, "--data", str(self.data)],
                capture_output=True,
                text=True,
                env=self._environment,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NoServiceError(
                f"hyperpage {' '.join(arguments)} did not end within {COMMAND_SECONDS:g} s"
            ) from None
        if done.returncode:
            said = (done.stdout + done.stderr)[-MAXIMUM_SAID_CHARACTERS:]
            raise NoServiceError(f"hyperpage {' '.join(arguments)} failed:\n{said}")
        return done.stdout


def program() -> list[str]:
    """The command that starts the program: that of `HYPERPAGE` in the environment, or what is on the path.

    Raises:
        NoServiceError: there is no program.
    """
    if named := os.environ.get("HYPERPAGE"):
        return shlex.split(named)
    if found := shutil.which("hyperpage"):
        return [found]
    raise NoServiceError(
        "there is no `hyperpage` on the path: install hyperpage-persistence, best into an environment of"
        " its own, and name its program in HYPERPAGE"
    )
