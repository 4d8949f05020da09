"""One request at a time: how long a command and a query take, beside a responder that does nothing.

Everything is on; the archive writes once a second meanwhile, and so does in each round. Ids are random UUIDs,
one for the command and one for its job. The peers store one event (PostgreSQL a row as well), synced before
they answer; `eventsourcing` has no server, and so no way there and back.
"""

from collections.abc import Iterator
from contextlib import ExitStack

from tests.benchmarks.core.bench import Bench, Peers
from tests.benchmarks.core.driving import in_turns
from tests.benchmarks.core.figures import Figure, ratio
from tests.benchmarks.core.loads import Load, client_of, client_of_idle
from tests.benchmarks.core.rows import Row, median_of, slower

PEERS = ("UmaDB", "PostgreSQL", "JetStream", "eventsourcing")
WHO = {"stock": "`nc.request`", "own": "own client", "lean": "lean client"}
COMMAND = {client: Load(client, 1) for client in WHO}
QUERY = {client: Load(client, 1, kind="get", ids="none") for client in ("stock", "own")}


def rows(bench: Bench) -> Iterator[Row]:
    with ExitStack() as stack:
        idle = stack.enter_context(bench.idle())
        service = stack.enter_context(bench.service())
        peers = Peers(bench, stack).enter(*PEERS)
        sides = {
            "idle": stack.enter_context(client_of_idle(idle, COMMAND["stock"])),
            "idle, lean": stack.enter_context(client_of_idle(idle, COMMAND["lean"])),
        }
        sides |= {client: stack.enter_context(client_of(service, load)) for client, load in COMMAND.items()}
        sides |= {
            f"get, {client}": stack.enter_context(client_of(service, QUERY[client])) for client in QUERY
        }
        found = in_turns(sides | peers.sides, 1, seconds=bench.seconds, rounds=bench.rounds)
    for client, who in WHO.items():
        beside = found["idle, lean" if client == "lean" else "idle"]
        yield slower(
            f"a command alone, {who}: p50 over the idle responder's", found[client], beside, target=2.0
        )
    for client, who in WHO.items():
        rounds = found[client]
        yield Row(
            f"a command alone, {who}: p99 over p50, the archive on",
            ratio([one.p99 for one in rounds], [one.p50 for one in rounds]),
            target=2.5,
            at_most=True,
            beside=f"p99 {median_of(rounds, 'p99'):.2f} ms",
        )
    for client in QUERY:
        what = f"a query by key alone, {WHO[client]}: p50 over the idle one's"
        yield slower(what, found[f"get, {client}"], found["idle"], target=1.3)
    yield Row("idle responder alone, `nc.request`: p50", Figure.of(one.p50 for one in found["idle"]), "ms")
    for peer in PEERS:
        what = f"{peer} alone: p50"
        if peer in peers.missing:
            yield Row.not_here(what, peers.missing[peer])
        else:
            p99 = median_of(found[peer], "p99")
            yield Row(what, Figure.of(one.p50 for one in found[peer]), "ms", beside=f"p99 {p99:.2f} ms")
