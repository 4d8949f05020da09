"""Many requests at a time: commands per second beside UmaDB, PostgreSQL, JetStream and the idle responder.

Each command has random UUIDs, for itself and for its job. UmaDB appends an event on condition that its job
has none, PostgreSQL commits an event and a row, over 128 connections at most. JetStream, which syncs each
message, decides nothing and has no tables: what it takes is the least that a stream of events can cost.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from tests.benchmarks.core.bench import Bench, Peers
from tests.benchmarks.core.driving import Measured, in_turns
from tests.benchmarks.core.figures import Figure
from tests.benchmarks.core.loads import Load, client_of, client_of_idle
from tests.benchmarks.core.rows import Row, median_of, over

LEVELS = (64, 256)
TARGETS = {"own": 2.0, "stock": 1.3}
WHO = {"own": "own client", "stock": "`nc.request`"}


def rows(bench: Bench) -> Iterator[Row]:
    with ExitStack() as stack:
        idle = stack.enter_context(bench.idle())
        service = stack.enter_context(bench.service())
        peers = Peers(bench, stack).enter("UmaDB", "PostgreSQL", "JetStream")
        stock = Load("stock", 64)
        sides = {
            "idle": stack.enter_context(client_of_idle(idle, stock)),
            "stock": stack.enter_context(client_of(service, stock)),
            "own": stack.enter_context(client_of(service, Load("own", 64))),
        }
        for level in LEVELS:
            found = in_turns(sides | peers.sides, level, seconds=bench.seconds, rounds=bench.rounds)
            yield from _beside_peers(level, found, peers)
        lean = {ids: Load("lean", 256, ids=ids) for ids in ("none", "random", "ordered")}
        sides = {ids: stack.enter_context(client_of(service, load)) for ids, load in lean.items()}
        sides["own"] = stack.enter_context(client_of(service, Load("own", 256, ids="ordered")))
        sides |= {
            f"idle, {ids}": stack.enter_context(client_of_idle(idle, lean[ids])) for ids in ("none", "random")
        }
        found = in_turns(sides, 256, seconds=bench.seconds, rounds=bench.rounds)
        yield from _lean(found)


def _beside_peers(level: int, found: Mapping[str, Sequence[Measured]], peers: Peers) -> Iterator[Row]:
    for client, who in WHO.items():
        for peer in ("UmaDB", "PostgreSQL"):
            what = f"commands, {who}, {level} in flight, over {peer}"
            if peer in peers.missing:
                yield Row.not_here(what, peers.missing[peer], TARGETS[client])
            else:
                yield over(what, found[client], found[peer], target=TARGETS[client])
    for name in (*WHO, "idle", "JetStream"):
        what = f"{WHO.get(name, name)}, {level} in flight"
        if name in peers.missing:
            yield Row.not_here(what, peers.missing[name])
        else:
            rounds = found[name]
            p50, p99 = (median_of(rounds, which) for which in ("p50", "p99"))
            rate = Figure.of(one.rate for one in rounds)
            yield Row(what, rate, "/s", beside=f"p50 {p50:.1f}, p99 {p99:.1f} ms")


def _lean(found: Mapping[str, Sequence[Measured]]) -> Iterator[Row]:
    none, random, ordered = found["none"], found["random"], found["ordered"]
    yield over(
        "lean client, no ids, 256 in flight, over idle responder", none, found["idle, none"], target=0.5
    )
    yield over("lean client, random ids, 256 in flight, over idle responder", random, found["idle, random"])
    yield over("random ids over none, lean client, 256 in flight", random, none, target=0.92)
    yield over("time-ordered ids over none, lean client, 256 in flight", ordered, none)
    # The cost of the client's own promises: ids, tries, types, a task for each command.
    yield over(
        "own client over lean client, time-ordered ids, 256 in flight", found["own"], ordered, target=0.9
    )
    for part in ("client", "broker", "service"):
        cpu = Figure.of(one.cpu[part] for one in none)
        with_ids = Figure.of(one.cpu[part] for one in random).median
        what = f"processor's time a command, {part}, lean, no ids, 256 in flight"
        yield Row(what, cpu, "µs", beside=f"{with_ids:.0f} µs with random ids")
