"""How long commands wait while a backup is made, beside how long they wait otherwise, in the same run.

    python -m tests.benchmarks.backup_latency [--megabytes 200] [--rate 2000] [--rounds 10] [--seconds 3]

A service with a store of that size answers so many commands a second. In each round they are timed for some
seconds without a backup, and then for as long as a backup takes that an operator asks for: the process that
the service starts for it, its checks included. A command's time begins when it was to be sent, so a client
that falls behind hides nothing.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from ops.store.data_directory import read_admin
from tests.benchmarks.backups import make_store
from tests.benchmarks.core.checkout import Checkout, service_on
from tests.benchmarks.core.figures import percentile
from tests.support.services.pacing import PacedLoad
from tests.support.services.raw_nats import RawNats

PERCENTILES = (50, 90, 99, 99.9)


async def measure(
    data: Path, url: str, rate: int, rounds: int, seconds: float
) -> tuple[list[list[float]], list[list[float]]]:
    """The latencies of each round, in seconds: without a backup, and during one."""
    admin = read_admin(data)
    assert admin is not None
    without: list[list[float]] = []
    during: list[list[float]] = []
    async with (
        await RawNats.connect(url) as client,
        await RawNats.connect(admin.nats_url, inbox_prefix=f"{admin.inbox_prefix}.") as operator,
    ):
        load = PacedLoad(client, rate)
        working = asyncio.create_task(load.run())
        # Caches warm up: the first answers are slower than those of an hour later.
        await asyncio.sleep(seconds)
        for _ in range(rounds):
            began = time.perf_counter()
            await asyncio.sleep(seconds)
            ended = time.perf_counter()
            answer = await operator.ask("hyperpage.adm.v1.backup.create", {})
            assert answer.code is None, answer.body
            backed_up = time.perf_counter()
            # The last commands of the round are answered a little later.
            await asyncio.sleep(seconds)
            without.append([one.seconds for one in load.answered if began <= one.sent_at < ended])
            during.append([one.seconds for one in load.answered if ended <= one.sent_at < backed_up])
            print(f"{percentile(without[-1], 99) * 1000:8.2f} ms {percentile(during[-1], 99) * 1000:8.2f} ms")
        load.stop()
        await working
    assert not load.refused, load.refused[0]
    return without, during


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--rate", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hyperpage-benchmark-") as folder:
        data = Path(folder) / "data"
        data.mkdir()
        make_store(data / "hyperpage.db", arguments.megabytes)
        with service_on(Checkout.here(), data) as service:
            print("p99 of each round: without, during")
            rounds = asyncio.run(
                measure(data, service.url, arguments.rate, arguments.rounds, arguments.seconds)
            )
    without, during = ([one for values in side for one in values] for side in rounds)
    print(f"{len(without):,} commands without a backup, {len(during):,} during {arguments.rounds} backups")
    print(f"{'':>8} {'without':>10} {'during':>10} {'ratio':>6}")
    for which in PERCENTILES:
        before, meanwhile = percentile(without, which), percentile(during, which)
        ratio = meanwhile / before
        print(f"{f'p{which:g}':>8} {before * 1000:7.2f} ms {meanwhile * 1000:7.2f} ms {ratio:6.2f}")


if __name__ == "__main__":
    main()
