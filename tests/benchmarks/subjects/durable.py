"""Durable commands beside requests, by our own client, 256 in flight: a stream keeps them first.

The client gives a command without an id a new one, and knows that no answer is kept under it. For ids that
the caller chooses (here random ones), the client first looks for a kept answer.
"""

from collections.abc import Iterator
from contextlib import ExitStack

from tests.benchmarks.core.bench import Bench
from tests.benchmarks.core.driving import in_turns
from tests.benchmarks.core.loads import Load, client_of
from tests.benchmarks.core.rows import Row, over


def rows(bench: Bench) -> Iterator[Row]:
    with ExitStack() as stack:
        service = stack.enter_context(bench.service())
        loads = [Load("own", 256, kind, ids) for kind in ("enqueue", "durable") for ids in ("none", "random")]
        sides = {f"{one.kind}, {one.ids}": stack.enter_context(client_of(service, one)) for one in loads}
        found = in_turns(sides, 256, seconds=bench.seconds, rounds=bench.rounds)
    for ids in ("none", "random"):
        what = f"durable commands over requests, own client, 256 in flight, ids: {ids}"
        yield over(what, found[f"durable, {ids}"], found[f"enqueue, {ids}"], target=0.7)
