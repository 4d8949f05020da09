"""Commands of several copies of the repository in turns, beside a responder that does nothing.

    python -m tests.benchmarks.compare [COPY ...] [--client lean stock own] [--in-flight 1 64 256]
        [--ids none|random|ordered] [--kind enqueue|get|batch] [--rounds 5] [--seconds 1]

Without a COPY (a folder with an environment of its own, as `make` makes it), this one alone. A service of
each runs on an empty store, everything on; the same client asks one after the other, so that all have the
same minute. `over idle` is the rate beside the idle responder's by the same client, and at one in flight
that of the latencies. µs are those of the processor for each command, in the client, the nats-server and the
service; they move less than the clock does where others work on the machine. The last line of several copies
tells what each took beside the first: its rate, and the processor's time in the service and in all.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.core.checkout import Checkout, idle_responder_on, service_on
from tests.benchmarks.core.driving import Measured, in_turns
from tests.benchmarks.core.figures import Figure, ratio
from tests.benchmarks.core.loads import CLIENTS, Load, client_of, client_of_idle

IDLE = "idle"


def measure(
    copies: Mapping[str, Checkout], loads: Sequence[Load], *, seconds: float, rounds: int, idle: bool
) -> Iterator[tuple[Load, dict[str, list[Measured]]]]:
    """The rounds of each load by the names of the copies; with `idle`, the idle responder's too."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hyperpage-benchmark-")))
        responder = stack.enter_context(idle_responder_on(Checkout.here(), folder / IDLE)) if idle else None
        services = {
            name: stack.enter_context(service_on(copy, folder / f"of-{name}"))
            for name, copy in copies.items()
        }
        for load in loads:
            with ExitStack() as clients:
                sides = {} if responder is None else {IDLE: client_of_idle(responder, load)}
                sides |= {name: client_of(services[name], load, copy) for name, copy in copies.items()}
                ready = {name: clients.enter_context(side) for name, side in sides.items()}
                yield load, in_turns(ready, load.in_flight, seconds=seconds, rounds=rounds)


def line(name: str, rounds: Sequence[Measured], idle: Sequence[Measured], in_flight: int) -> str:
    """The line of one side: rate, latencies, its ratio to the idle responder, and the CPU of its parts."""
    rate, p50, p99 = (Figure.of(getattr(one, what) for one in rounds) for what in ("rate", "p50", "p99"))
    over = (
        ratio([one.p50 for one in rounds], [one.p50 for one in idle])
        if in_flight == 1
        else ratio([one.rate for one in rounds], [one.rate for one in idle])
    )
    cpu = {part: Figure.of(one.cpu[part] for one in rounds).median for part in rounds[0].cpu}
    return (
        f"{name:<24}{rate.median:>9,.0f}{rate.spread:>6.0%}{p50.median:>9.2f}{p99.median:>9.2f}"
        f"{over.median:>8.2f} [{over.least:.2f} {over.most:.2f}]  "
        + "  ".join(f"{part} {used:.0f}" for part, used in cpu.items())
    )


def beside(name: str, rounds: Sequence[Measured], first: Sequence[Measured]) -> str:
    """The line that compares one copy with the first: its rate, and the processor's time for a command."""
    parts = {
        "rate": ratio([one.rate for one in rounds], [one.rate for one in first]),
        "µs of the service": ratio(
            [one.cpu["service"] for one in rounds], [one.cpu["service"] for one in first]
        ),
        "µs in all": ratio([one.whole_cpu for one in rounds], [one.whole_cpu for one in first]),
    }
    told = ", ".join(
        f"{what} × {found.median:.3f} [{found.least:.3f} {found.most:.3f}]" for what, found in parts.items()
    )
    return f"  {name} beside the first: {told}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("copies", nargs="*", type=Path)
    parser.add_argument("--client", nargs="+", choices=CLIENTS, default=CLIENTS)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 64, 256])
    parser.add_argument("--ids", choices=["none", "random", "ordered"], default="random")
    parser.add_argument("--kind", choices=["enqueue", "get", "batch"], default="enqueue")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    copies = {one.absolute().name: Checkout.at(one) for one in options.copies} or {"this": Checkout.here()}
    loads = [
        Load(client, in_flight, options.kind, options.ids)
        for client in options.client
        for in_flight in options.in_flight
    ]
    for load, found in measure(copies, loads, seconds=options.seconds, rounds=options.rounds, idle=True):
        print(
            f"{load!s:<30}{'/s':>3}{'±':>6}{'p50 ms':>9}{'p99 ms':>9}{'over idle':>14}"
            "        µs of the processor"
        )
        for name, rounds in found.items():
            print(line(name, rounds, found[IDLE], load.in_flight))
        first, *others = copies
        for name in others:
            print(beside(name, found[name], found[first]))
        print(flush=True)


if __name__ == "__main__":
    main()
