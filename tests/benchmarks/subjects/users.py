"""The cost of a separate user: its commands beside those of `app`, own client, 256 in flight.

The broker maps its subjects, its answers go from one account to another, and its rights are checked.
"""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from tests.benchmarks.core.bench import Bench
from tests.benchmarks.core.checkout import Checkout
from tests.benchmarks.core.driving import in_turns
from tests.benchmarks.core.loads import Load, client_of
from tests.benchmarks.core.rows import Row, over

LOAD = Load("own", 256)


def rows(bench: Bench) -> Iterator[Row]:
    seed = bench.folder / "billing.nk"
    with ExitStack() as stack:
        service = stack.enter_context(bench.service())
        made: list[str | Path] = ["user", "create", "billing", "--allow", "jobs.enqueue", "--out", seed]
        here = Checkout.here()
        command = here.command("ops.cli", *made, "--data", bench.folder / "service")
        subprocess.run(command, cwd=here.root, env=here.environment, check=True, capture_output=True)
        of_user = service._replace(url=f"nats://127.0.0.1:{urlsplit(service.url).port}")
        sides = {
            "app": stack.enter_context(client_of(service, LOAD)),
            "billing": stack.enter_context(client_of(of_user, LOAD, credentials=seed)),
        }
        found = in_turns(sides, LOAD.in_flight, seconds=bench.seconds, rounds=bench.rounds)
    yield over("commands of a user of its own over those of `app`", found["billing"], found["app"])
