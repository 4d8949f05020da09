"""The cost of three copies: `sync` and `async` beside `off`, on the same three nats-servers, on one machine.

Each nats-server stores each group of commands, so their processor's time is paid three times here, and once
on each of three machines. Commands and jobs have random UUIDs. The follower is measured after that, beside
the second nats-server, and each query goes only to the service beside the nats-server that gets it.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial

from tests.benchmarks.core.bench import Bench
from tests.benchmarks.core.checkout import Checkout, Served, nats_cluster_on, service_on
from tests.benchmarks.core.driving import Driver, Measured, driver, in_turns
from tests.benchmarks.core.figures import Figure, ratio
from tests.benchmarks.core.rows import Row, over, slower

MODES = ("sync", "async")
LEAST, MOST = 0.7, 2.5
WHO = {"stock": "`nc.request`", "lean": "lean client"}
COMMAND, QUERY = "cmd.v1.jobs.enqueue", "qry.v1.jobs.get"
IN_FLIGHT_QUERIES = 16


def rows(bench: Bench) -> Iterator[Row]:
    with ExitStack() as stack:
        here = Checkout.here()
        servers = stack.enter_context(nats_cluster_on(here, bench.folder))
        broker = [one for server in servers for one in server.processes["broker"]]

        def service(name: str, first: int, **settings: str) -> Served:
            urls = ",".join(one.url for one in servers[first:] + servers[:first])
            options = ["--no-http", "--nats", urls]
            settings = {"member": name, **settings}
            found = stack.enter_context(service_on(here, bench.folder / name, options, settings))
            processes = {"service": found.processes["service"], "broker": broker}
            return found._replace(url=servers[first].url, processes=processes)

        def client(of: Served, kind: str, subject: str, who: str = "stock") -> Driver:
            asked = [of.url, kind, "--ids", "random", "--client", who, "--subject", subject]
            return stack.enter_context(driver(here, "by_nats", *asked, processes=of.processes))

        measure = partial(in_turns, seconds=bench.seconds, rounds=bench.rounds)
        replicated = {"replication": "sync", "replication_replicas": "3"}
        # A follower takes from these folders the events that the log no longer has.
        replicated |= {name: str(bench.folder / name) for name in ("backups", "archive")}
        both = {
            "off": (service("off", 0, prefix="off"), f"off.{COMMAND}"),
            "sync": (service("sync", 0, **replicated), f"hyperpage.{COMMAND}"),
            "async": (
                service("async", 0, **replicated | {"replication": "async", "prefix": "async"}),
                f"async.{COMMAND}",
            ),
        }
        stock = {name: client(one, "enqueue", subject) for name, (one, subject) in both.items()}
        lean = {name: client(one, "enqueue", subject, "lean") for name, (one, subject) in both.items()}
        alone = measure(stock, 1)
        for mode in MODES:
            what = f"a command alone, `nc.request`: p50, `{mode}` over `off`"
            yield slower(what, alone[mode], alone["off"], target=MOST)
        found = alone
        for who, sides, level in (("stock", stock, 64), ("stock", stock, 256), ("lean", lean, 256)):
            found = measure(sides, level)
            for mode in MODES:
                what = f"commands, {WHO[who]}, {level} in flight, `{mode}` over `off`"
                yield over(what, found[mode], found["off"], target=LEAST)
        for mode in MODES:
            yield from _processor(mode, found[mode], found["off"])
        leader = both["sync"][0]
        follower = service("follower", 1, **replicated, role="follower")
        with_follower = leader.processes | {"follower": follower.processes["service"]}
        one = client(leader._replace(processes=with_follower), "enqueue", f"hyperpage.{COMMAND}", "lean")
        followed = measure({"sync": one}, 256)["sync"]
        what = "processor's time a command, follower's over leader's, lean client, 256 in flight"
        yield _shares(what, followed, followed, "follower")
        asked = {"leader": leader, "follower": follower}
        queries = {name: client(one, "get", f"hyperpage.{QUERY}") for name, one in asked.items()}
        found = measure(queries, IN_FLIGHT_QUERIES)
        what = f"processor's time a query by key, follower's over leader's, {IN_FLIGHT_QUERIES} in flight"
        yield _shares(what, found["follower"], found["leader"])


def _processor(mode: str, replicated: Sequence[Measured], off: Sequence[Measured]) -> Iterator[Row]:
    for part in ("service", "broker", "client"):
        what = f"processor's time a command, {part}, `{mode}`, lean client, 256 in flight"
        without = Figure.of(one.cpu[part] for one in off).median
        yield Row(
            what, Figure.of(one.cpu[part] for one in replicated), "µs", beside=f"{without:.0f} µs with `off`"
        )


def _shares(what: str, ours: Sequence[Measured], theirs: Sequence[Measured], part: str = "service") -> Row:
    """The processor's time of one service over that of another one."""
    of_ours, of_theirs = [one.cpu[part] for one in ours], [one.cpu["service"] for one in theirs]
    beside = f"{Figure.of(of_ours).median:.0f} and {Figure.of(of_theirs).median:.0f} µs"
    return Row(what, ratio(of_ours, of_theirs), beside=beside)
