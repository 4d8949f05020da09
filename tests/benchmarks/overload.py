"""What becomes of more than a service can do: requests are sent by the clock, whatever is answered.

    python -m tests.benchmarks.overload [COPY] [--kind enqueue|get] [--shares 0.5 1 1.5 2.5] [--seconds 5]
        [--durable 20000]

What a service can do is measured first, with 256 requests in flight. Then come so many times as many for so
long, and at once half of what it can do for as long: how soon after that everything is as it should be (let
in, and answered within a quarter of a second) is the time to recover. The last row has half of what it can do
beside so many durable commands that wait. Latencies count from when a request was due, those of `busy`
answers apart. Without a COPY, this one; all run on an empty store, beside their client.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.core.checkout import Checkout, Served, service_on
from tests.benchmarks.core.figures import percentile
from tests.benchmarks.core.loads import Load, client_of
from tests.benchmarks.core.processes import started

IN_FLIGHT = 256
RECOVERED_SECONDS = 0.25


class Stretch(NamedTuple):
    """Requests at one rate: of those answered, when each was due, and how long it took, in seconds."""

    sent: int
    accepted: list[tuple[float, float]]
    busy: list[tuple[float, float]]

    def line(self) -> list[str]:
        """The cells of a row: a second accepted, their p50, p99 and most in ms, busy and their p99."""
        took = [took * 1000 for _, took in self.accepted] or [float("nan")]
        refused = [took * 1000 for _, took in self.busy] or [0.0]
        # Up to the last answer: a request that is answered after the sending ends was not done within it.
        seconds = max(due + took for due, took in self.accepted)
        latencies = (percentile(took, 50), percentile(took, 99), max(took))
        return [
            f"{len(self.accepted) / seconds:,.0f}/s",
            *(f"{one:,.0f} ms" for one in latencies),
            f"{len(self.busy) / self.sent:.0%}",
            f"{percentile(refused, 99):,.0f} ms",
            str(self.sent - len(self.accepted) - len(self.busy)),
        ]

    @property
    def recovered_after(self) -> float:
        """When the last request was due that was refused as `busy`, or took too long."""
        late = [due for due, took in self.accepted if took > RECOVERED_SECONDS]
        return max([0.0, *late, *(due for due, _ in self.busy)])


class Sender:
    """A client that sends by the clock, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._answer()

    def send(self, *stretches: tuple[float, float], durable: int = 0) -> list[Stretch]:
        """Sends stretches, each a rate per second and seconds, and returns the answers of each.

        Raises:
            RuntimeError: a request was refused for another reason than `busy`.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"stretches": stretches, "durable": durable}) + "\n")
        self._process.stdin.flush()
        return [Stretch(**one) for one in self._answer()["stretches"]]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        told: dict[str, Any] = json.loads(self._process.stdout.readline() or '{"refused": "it ended"}')
        if "refused" in told:
            raise RuntimeError(told["refused"])
        return told


@contextmanager
def sender(service: Served, kind: str) -> Iterator[Sender]:
    here = Checkout.here()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = here.driver("open_loop", service.url, kind)
    with started(command, cwd=here.root, env=here.environment, **pipes) as process:
        yield Sender(process)


def measure(
    copy: Checkout, kind: str, shares: Sequence[float], *, seconds: float, durable: int
) -> Iterator[list[str]]:
    """The cells of each row; the first row is the head."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hyperpage-benchmark-")))
        service = stack.enter_context(service_on(copy, folder / "service"))
        with client_of(service, Load("lean", IN_FLIGHT, kind, "none"), copy) as client:
            client.measure(IN_FLIGHT, 0.5)
            capacity = client.measure(IN_FLIGHT, 3.0).rate
        yield [
            f"of {capacity:,.0f}/s that it can do",
            "accepted",
            "p50",
            "p99",
            "most",
            "busy",
            "its p99",
            "not answered",
            "recovers in",
        ]
        load = stack.enter_context(sender(service, kind))
        for share in shares:
            much, less = load.send((capacity * share, seconds), (capacity / 2, seconds))
            yield [f"{share:g} times", *much.line(), f"{less.recovered_after:.2f} s"]
        (beside,) = load.send((capacity / 2, seconds), durable=durable)
        yield [f"half, beside {durable:,} durable commands", *beside.line(), ""]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("copy", nargs="?", type=Path)
    parser.add_argument("--kind", choices=["enqueue", "get"], default="enqueue")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5, 1.0, 1.5, 2.5])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--durable", type=int, default=20_000)
    options = parser.parse_args()
    copy = Checkout.here() if options.copy is None else Checkout.at(options.copy)
    rows = measure(copy, options.kind, options.shares, seconds=options.seconds, durable=options.durable)
    for number, cells in enumerate(rows):
        print(f"| {' | '.join(cells)} |", flush=True)
        if number == 0:
            print("|---" * len(cells) + "|", flush=True)


if __name__ == "__main__":
    main()
