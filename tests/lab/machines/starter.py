"""Services that start in a moment: each is a fork of a process that has only loaded the program.

Loading takes several times as long as the rest of a start, and is the same each time. So an experiment with
hundreds of starts has one process for that: `python -m tests.lab.machines.starter`, which gets its orders in
lines of JSON.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.lab.clusters.networks import enter
from tests.support.repository import ROOT
from tests.support.services.command_line import environment


class Started:
    """A started process, with those parts of `subprocess.Popen` that are used."""

    def __init__(self, starter: "Starter", process_id: int) -> None:
        self._starter = starter
        self.pid = process_id
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        if self._code is None:
            self._code = self._starter.ask(do="poll", process_id=self.pid)
        return self._code


class Starter:
    """The process that has loaded the program, and forks services."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def start(
        self,
        arguments: Sequence[str],
        log: Path,
        variables: Mapping[str, str],
        *,
        out: Path | None = None,
        namespace: Path | None = None,
    ) -> Started:
        """Runs `hyperpage` with these arguments; stderr is appended to `log`, stdout to `out`.

        With a network `namespace`, it runs on the host of that namespace.
        """
        process_id = self.ask(
            do="start",
            arguments=list(arguments),
            log=str(log),
            out=os.devnull if out is None else str(out),
            variables=dict(variables),
            namespace=None if namespace is None else str(namespace),
        )
        return Started(self, process_id)

    def ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def starter(root: Path = ROOT) -> Iterator[Starter]:
    """A starter of the program below `root`, for the length of the block. The caller ends the services."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.lab.machines.starter"],
        cwd=root,
        env=environment(PYTHONPATH=str(root)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Starter(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def _serve() -> None:
    # The modules that `serve` otherwise loads when it is called.
    import_module("ops.service.process")
    from ops.cli.main import run

    started: set[int] = set()
    codes: dict[int, int] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "start":
            process_id = os.fork()
            if process_id == 0:
                os._exit(_be(request, run))
            started.add(process_id)
            answer: int | None = process_id
        else:
            process_id = request["process_id"]
            if process_id not in codes:
                ended, status = os.waitpid(process_id, os.WNOHANG)
                if ended:
                    codes[process_id] = os.waitstatus_to_exitcode(status)
            answer = codes.get(process_id)
        print(json.dumps(answer), flush=True)
    for process_id in started - codes.keys():
        os.kill(process_id, signal.SIGKILL)


def _be(request: Mapping[str, Any], run: Any) -> int:
    """Runs the program in this forked process; returns its exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name, target in (("out", 1), ("log", 2)):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), target)
    os.environ |= request["variables"]
    if request["namespace"] is not None:
        enter(Path(request["namespace"]))
    try:
        return int(run(request["arguments"]))
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    _serve()
