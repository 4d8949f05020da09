"""Clients in processes of their own, which are told when to send; and measuring several sides in turns.

A driver (`tests/benchmarks/drivers`) is started once and prepares; then it is told, by a line of JSON, how
many requests to keep in flight for how long, and says by another how it went. So the clients of all sides
are warm, one alone is at work, and what each process took of the processor is known apart.
"""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.core.checkout import Checkout
from tests.benchmarks.core.processes import cpu_of, started

# How much longer than ordered a round may take.
PATIENCE_SECONDS = 120.0


class Measured(NamedTuple):
    """One round: commands per second, latencies of requests in ms, and µs of the processor for each command.

    `cpu` is by process: `client`, and those of the side.
    """

    rate: float
    p50: float
    p99: float
    cpu: dict[str, float]

    @property
    def whole_cpu(self) -> float:
        return sum(self.cpu.values())


class Driver:
    """A client process, and the processes that answer it."""

    def __init__(
        self, name: str, process: subprocess.Popen[str], processes: Mapping[str, Sequence[int]]
    ) -> None:
        self._name = name
        self._process = process
        self._processes = {"client": [process.pid], **processes}
        self._told: dict[str, Any] = self._answer()

    def measure(self, in_flight: int, seconds: float) -> Measured:
        """Measures one round.

        Raises:
            RuntimeError: a request was refused, or the driver ended.
        """
        before = cpu_of(self._processes)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"in_flight": in_flight, "seconds": seconds}) + "\n")
        self._process.stdin.flush()
        told = self._answer()
        after = cpu_of(self._processes)
        cpu = {name: (after[name] - before[name]) * 1e6 / told["commands"] for name in after}
        return Measured(told["commands"] / told["seconds"], told["p50"], told["p99"], cpu)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended with {self._process.wait(PATIENCE_SECONDS)}")
        told: dict[str, Any] = json.loads(line)
        if told.get("refused"):
            raise RuntimeError(f"{self._name}: {told['refused']}")
        return told


@contextmanager
def driver(
    checkout: Checkout,
    module: str,
    *arguments: str | Path,
    processes: Mapping[str, Sequence[int]] | None = None,
) -> Iterator[Driver]:
    """A client that has prepared; `module` is one of `tests.benchmarks.drivers`."""
    command = checkout.driver(module, *arguments)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with started(command, cwd=checkout.root, env=checkout.environment, **pipes) as process:
        yield Driver(" ".join([module, *map(str, arguments)]), process, processes or {})


def in_turns(
    sides: Mapping[str, Driver],
    in_flight: int | Mapping[str, int],
    *,
    seconds: float,
    rounds: int,
    warm_seconds: float = 0.5,
    told: Callable[[str, Measured], None] = lambda side, measured: None,
) -> dict[str, list[Measured]]:
    """The rounds of each side, in turns, after a short one of each; `in_flight` may differ by side."""

    def level(side: str) -> int:
        return in_flight if isinstance(in_flight, int) else in_flight[side]

    for side, one in sides.items():
        one.measure(level(side), warm_seconds)
    found: dict[str, list[Measured]] = {side: [] for side in sides}
    for number in range(rounds):
        # Each round begins with another side.
        order = list(sides.items())
        place = number % len(order)
        for side, one in order[place:] + order[:place]:
            measured = one.measure(level(side), seconds)
            found[side].append(measured)
            told(side, measured)
    return found
