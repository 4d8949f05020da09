"""What this machine makes of it: the whole table, with peers beside us in one run.

    make bench    or    python -m tests.benchmarks.table [--only SUBJECT ...] [--rounds 5] [--seconds 1]
        [--events 200000] [--folder FOLDER] [--json FILE] [--svg FILE] [--into docs/performance.md]

Each subject is a module of `tests/benchmarks/subjects`, whose first words say what it measures and what not.
Sides that are compared take turns within a subject, and each figure is the median of the rounds, between the
least and the most. Client, nats-server and service share the machine, so the ratios travel and the rates do
not. `--events 10000000` makes the long history as long as it is meant to be; it takes half an hour to make
and is kept below `.benchmark`, as the peers are. Files are made in FOLDER, by default the temporary one: say
where, if that is not on the disk that is meant.

What FILE keeps of other subjects stays there, so that a table can be measured in several goes of `--only`;
the picture and the document are made of all that it has then.

A peer that can't be had is said to be not here. Exits with 1 if a subject fails; missing a target is no
failure.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks.core.bench import Bench
from tests.benchmarks.core.document import put_into
from tests.benchmarks.core.picture import svg
from tests.benchmarks.core.rows import Kept, Row, machine_of_this_run
from tests.benchmarks.subjects import (
    alone,
    batches,
    claims,
    disk,
    durable,
    history,
    in_flight,
    machine,
    promises,
    rebuild,
    replicated,
    users,
)

SUBJECTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    one.__name__.rpartition(".")[2]: one.rows
    for one in (
        machine,
        alone,
        in_flight,
        batches,
        durable,
        claims,
        users,
        disk,
        rebuild,
        history,
        promises,
        replicated,
    )
}


def measure(names: list[str], bench: Bench) -> tuple[list[tuple[str, Row]], list[str]]:
    """All rows by their subjects, printed as they come, and the subjects that failed."""
    found: list[tuple[str, Row]] = []
    failed = []
    for name in names:
        began = time.monotonic()
        print(f"\n{name}")
        try:
            with tempfile.TemporaryDirectory(prefix="hyperpage-benchmark-", dir=bench.folder) as folder:
                # PostgreSQL does not run as root, and its user needs access to its folder.
                Path(folder).chmod(0o711)
                for row in SUBJECTS[name](bench._replace(folder=Path(folder))):
                    print(row.line(), flush=True)
                    found.append((name, row))
        except Exception as error:
            print(f"{name} failed: {type(error).__name__}: {error}", flush=True)
            failed.append(name)
        print(f"  ({time.monotonic() - began:.0f} s)")
    return found, failed


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, default=list(SUBJECTS), metavar="SUBJECT")
    parser.add_argument("--rounds", type=int, default=Bench._field_defaults["rounds"])
    parser.add_argument("--seconds", type=float, default=Bench._field_defaults["seconds"])
    parser.add_argument("--events", type=int, default=Bench._field_defaults["events"])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--svg", type=Path)
    parser.add_argument("--into", type=Path)
    options = parser.parse_args()
    kept = Kept(machine_of_this_run(), [])
    print(kept.title)
    bench = Bench(options.folder, options.seconds, options.rounds, options.events)
    found, failed = measure(options.only, bench)
    kept = kept._replace(rows=found)
    if options.json is not None:
        kept = kept.with_rest_of(options.json)
        kept.rows.sort(key=lambda one: list(SUBJECTS).index(one[0]))
        options.json.write_text(kept.as_json(), encoding="utf-8")
    if options.svg is not None:
        options.svg.write_text(svg((row for _, row in kept.rows), kept.title), encoding="utf-8")
    if options.into is not None:
        put_into(options.into, kept)
    met = [row.is_met for _, row in found if row.is_met is not None]
    print(f"\n{sum(met)} of {len(met)} targets are reached")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
