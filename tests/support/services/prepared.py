"""Processes of the command line that begin with all modules loaded.

Loading its modules takes most of a service's start, and tests are seldom about that. One process loads them
once, and forks into each of these: real processes, with their own id, streams, signals and end.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.support.programs.prepared_program import NUMBER
from tests.support.repository import ROOT


class Prepared:
    """One such process, with those parts of `subprocess.Popen` that tests use."""

    def __init__(
        self,
        arguments: list[str],
        environment: Mapping[str, str],
        *,
        stdin: IO[Any] | None,
        stdout: IO[Any] | None,
        stderr: IO[Any],
        folder: Path | None = None,
    ) -> None:
        """`stdout` is piped to the caller, and `stdin` is empty, unless they are given.

        The process begins in `folder`, or in the caller's.
        """
        self.args = arguments
        self.returncode: int | None = None
        self.stdout: IO[str] | None = None
        self._answers, theirs = socket.socketpair()
        with ExitStack() as stack:
            stack.enter_context(theirs)
            if stdin is None:
                stdin = stack.enter_context(Path(os.devnull).open("rb"))
            if stdout is None:
                read_from, written_to = os.pipe()
                self.stdout = os.fdopen(read_from, encoding="utf-8")
                stdout = stack.enter_context(os.fdopen(written_to, "wb"))
            streams = [one.fileno() for one in (stdin, stdout, stderr, theirs)]
            asked = {
                "arguments": arguments,
                "environment": dict(environment),
                "folder": str(folder or Path.cwd()),
            }
            told = _preparing(environment["PYTHONPATH"], environment["HYPERPAGE_AGGREGATES"])
            socket.send_fds(told, [json.dumps(asked).encode()], streams)
        self.pid = self._answer()

    def _answer(self) -> int:
        answer = self._answers.recv(NUMBER.size)
        assert answer, "what prepares processes has ended"
        number: int = NUMBER.unpack(answer)[0]
        return number

    def poll(self) -> int | None:
        """Its exit code, or that of a signal below zero; None while it runs."""
        return self._ended_within(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, or that of a signal below zero, once the process has ended.

        Raises:
            subprocess.TimeoutExpired: it has not ended within so many seconds.
        """
        code = self._ended_within(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _ended_within(self, seconds: float | None) -> int | None:
        if self.returncode is None:
            waiting = select.poll()
            waiting.register(self._answers, select.POLLIN)
            if waiting.poll(None if seconds is None else seconds * 1_000):
                self.returncode = self._answer()
                self._answers.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.stdout is not None:
            self.stdout.close()
        self.wait()


def can_be_prepared(arguments: Sequence[str], variables: Mapping[str, str]) -> bool:
    """True if these arguments and variables change no module that a prepared process has loaded already.

    Aggregates in the repository stay as they are; a test that writes its own aggregate is about how it is
    loaded.
    """
    path = variables.get("PYTHONPATH", "")
    is_ours = all(Path(part).is_relative_to(ROOT) for part in path.split(os.pathsep) if part)
    others = {name for name in variables if not name.startswith("HYPERPAGE_")} - {"PYTHONPATH"}
    is_said = "--aggregates" in arguments or ("HYPERPAGE_AGGREGATES" in variables and not path)
    return is_ours and not others and not is_said


@cache
def _preparing(path: str, aggregates: str) -> socket.socket:
    """A socket for orders to the process that has the modules; that ends when this one does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.programs.prepared_program", str(theirs.fileno())],
            cwd=ROOT,
            env={**os.environ, "HYPERPAGE_AGGREGATES": aggregates, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
    return ours
