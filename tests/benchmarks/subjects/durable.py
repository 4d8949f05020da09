"""Durable commands beside requests, by our own client, 256 in flight: a stream keeps them first."""

from collections.abc import Iterator
from contextlib import ExitStack

from tests.benchmarks.core.bench import Bench
from tests.benchmarks.core.driving import in_turns
from tests.benchmarks.core.loads import Load, client_of
from tests.benchmarks.core.rows import Row, over


def rows(bench: Bench) -> Iterator[Row]:
    with ExitStack() as stack:
        service = stack.enter_context(bench.service())
        sides = {
            kind: stack.enter_context(client_of(service, Load("own", 256, kind=kind)))
            for kind in ("enqueue", "durable")
        }
        found = in_turns(sides, 256, seconds=bench.seconds, rounds=bench.rounds)
    what = "durable commands over requests, own client, 256 in flight"
    yield over(what, found["durable"], found["enqueue"], target=0.7)
