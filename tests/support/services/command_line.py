"""The command line as its users see it: a process of its own, with its exit code and its output."""

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any, Self
from unittest.mock import patch

import httpx
import msgspec

from ops.cli.main import application, run
from tests.support.http_clients import client
from tests.support.patience import wait_for
from tests.support.repository import ROOT
from tests.support.services.prepared import Prepared, can_be_prepared

PROGRAM = [sys.executable, "-m", "ops.cli"]
# Many times what the slowest needs, so that only a hang meets it.
SECONDS = 30
_together = cache(application)


class Result(msgspec.Struct, frozen=True):
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(**variables: str) -> dict[str, str]:
    """The caller's environment without its settings, so that a test means the same everywhere."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HYPERPAGE_")}
    # Aggregates of other packages are left out, even if such packages are installed.
    inherited["HYPERPAGE_AGGREGATES"] = "none"
    # Neither the colours nor the width of the terminal in which the tests run.
    return {**inherited, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "TERM": "dumb", **variables}


def separately(*arguments: str | Path, stdin: str = "", **variables: str) -> Result:
    """Runs one command to its end, in a process of its own, as a shell does."""
    return separately_in(Path.cwd(), *arguments, stdin=stdin, **variables)


def separately_in(folder: Path, *arguments: str | Path, stdin: str = "", **variables: str) -> Result:
    """The same, as a shell does in that folder."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        process = started(
            [*map(str, arguments)], variables, stdin=given, stdout=out, stderr=err, folder=folder
        )
        try:
            code = process.wait(SECONDS)
        finally:
            process.kill()
        return Result(code, *(_content(stream) for stream in (out, err)))


def started(
    arguments: list[str],
    variables: Mapping[str, str],
    *,
    stdin: IO[Any] | None = None,
    stdout: IO[Any] | None = None,
    stderr: IO[Any],
    folder: Path | None = None,
) -> "Prepared | subprocess.Popen[str]":
    """A running command, which its caller has to end.

    It is `Prepared` if that is possible. A command of `running` never is: tests watch it from the very start.
    """
    said = environment(**variables)
    if can_be_prepared(arguments, variables):
        return Prepared(arguments, said, stdin=stdin, stdout=stdout, stderr=stderr, folder=folder)
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=folder,
        env=said,
        stdin=stdin or subprocess.DEVNULL,
        stdout=stdout or subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def hyperpage(*arguments: str | Path, stdin: str = "", **variables: str) -> Result:
    """Runs one command to its end inside this process.

    That saves the start of Python, which takes longer than most commands, and the set-up of the command line.
    Not for `serve`, which owns the signals and the logging of its process.
    """
    streams = [io.TextIOWrapper(io.BytesIO(content), "utf-8") for content in (stdin.encode(), b"", b"")]
    changed = {"sys.stdin": streams[0], "sys.stdout": streams[1], "sys.stderr": streams[2]}
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, environment(**variables), clear=True))
        for name, stream in changed.items():
            stack.enter_context(patch(name, stream))
        stack.enter_context(patch("ops.cli.main.application", _together))
        try:
            code = run([str(argument) for argument in arguments])
        except SystemExit as end:
            # A wrong command line exits at once.
            code = int(end.code or 0)
    out, err = (_written(stream) for stream in streams[1:])
    return Result(int(code), out, err)


def _content(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode()


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


def running(*arguments: str | Path, **variables: str) -> "subprocess.Popen[str]":
    """Starts a command that goes on; its caller has to end it."""
    return subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**variables),
    )


class Served:
    """A service that runs on a directory, and the commands that talk to it."""

    command: tuple[str, ...] = ("serve", "--nats-port", "0")

    def __init__(self, data: Path, *options: str, **variables: str) -> None:
        self.data = data
        # A file, not a pipe: no test reads it while the service runs, and a full pipe would block that.
        self.log = data.parent / f"{data.name}.log"
        with self.log.open("a") as log:
            command = [*self.command, "--data", str(data), "--json", *options]
            self.process = started(command, variables, stderr=log)
        assert self.process.stdout is not None
        self.ready_line = self.process.stdout.readline()
        assert self.ready_line, f"it did not start: {self.log.read_text()}"

    @property
    def runtime(self) -> dict[str, Any]:
        runtime: dict[str, Any] = json.loads((self.data / "runtime.json").read_text())
        return runtime

    def __call__(self, *arguments: str | Path, stdin: str = "") -> Result:
        return hyperpage(*arguments, "--data", self.data, stdin=stdin)

    def ask(self, *arguments: str | Path) -> Any:
        """The JSON that a command answers with, which must be a success."""
        result = self(*arguments, "--json")
        assert result.code == 0, result
        return result.json

    @property
    def status(self) -> Any:
        """Its report on its health, also if it is unhealthy."""
        return self("status", "--json").json

    def http(self) -> httpx.Client:
        """A client of its HTTP API, to be closed: with `with`, say."""
        return client(self.runtime["http_url"])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal, and returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Followed(Served):
    """A service that follows the log of another one."""

    command = ("follow",)


@contextmanager
def served_in(folder: Path) -> Iterator[Path]:
    """A folder in which the service runs on `./data`, as `make run` has it."""
    serve = ["serve", "--data", "./data", "--nats-port", "0"]
    with (
        (folder / "serve.log").open("w") as log,
        started(serve, {}, stdout=log, stderr=log, folder=folder) as service,
    ):

        def is_ready() -> bool:
            assert service.poll() is None, "the service has ended"
            return (folder / "data" / "runtime.json").exists()

        wait_for(is_ready)
        yield folder
        service.send_signal(signal.SIGTERM)
        assert service.wait(timeout=20) == 0
