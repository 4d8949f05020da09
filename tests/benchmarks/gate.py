"""Whether this copy is slower than another commit: both in turns, in one run. Exits with 1 where it is.

    python -m tests.benchmarks.gate BASE [--starts 3] [--rounds 3] [--seconds 1] [--client lean own]
        [--in-flight 1 64 256] [--by clock instructions]

BASE is a commit; its sources go into a worktree below `.benchmark`, with an environment of their own. Three
things are compared, each by the quotient of the rounds that took turns:

- the processor's time for a command, in client, nats-server and service apart: over 5 % more is slower, and
  for one command at a time, in which there is a share of what a service does by itself, over 10 %;
- the time for a command by the clock: over 10 % more is slower;
- instructions for a command in the writer's way, where they can be counted: over 2 % more is slower.

A quotient counts where three quarters of the rounds agree on it (`core/figures.py`), so that one disturbed
round says nothing; what is noisy on a busy machine is not told at all rather than told wrongly. Both services
are started anew several times, since one process may by chance lie better in memory than another one of the
same program; so many rounds follow each start. Where the clock says nothing, as on a machine that runs tests
for everybody, `--by instructions` is enough: their count differs by less than a thousandth from run to run.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tests.benchmarks.compare import measure
from tests.benchmarks.core.checkout import Checkout
from tests.benchmarks.core.driving import Measured
from tests.benchmarks.core.figures import Comparison, quotients
from tests.benchmarks.core.instructions import counter, instructions_of_a_command
from tests.benchmarks.core.loads import CLIENTS, Load
from tests.support.repository import ROOT

CPU_MORE_THAN, CPU_ALONE_MORE_THAN, CLOCK_MORE_THAN, INSTRUCTIONS_MORE_THAN = 0.05, 0.10, 0.10, 0.02
COPIES = ROOT / ".benchmark" / "copies"
FEWEST_ROUNDS = 6
WAYS = ("clock", "instructions")


class Finding(NamedTuple):
    """One thing that was compared."""

    what: str
    found: Comparison
    more_than: float

    def __str__(self) -> str:
        least, most = min(self.found.quotients), max(self.found.quotients)
        return f"{self.what:<52} × {self.found.median:.3f} [{least:.3f} {most:.3f}]  {self.verdict}"

    @property
    def verdict(self) -> str:
        if self.found.is_worse(self.more_than):
            return f"SLOWER by more than {self.more_than:.0%} beyond the noise"
        return "quicker" if self.found.is_better(self.more_than) else ""

    @property
    def is_worse(self) -> bool:
        return self.found.is_worse(self.more_than)


def findings_of(load: Load, old: Sequence[Measured], new: Sequence[Measured]) -> Iterator[Finding]:
    """The findings from the rounds of one load: the processor's time of each part, and the clock."""
    more_than = CPU_ALONE_MORE_THAN if load.in_flight == 1 else CPU_MORE_THAN
    for part in old[0].cpu:
        by_part = quotients([one.cpu[part] for one in new], [one.cpu[part] for one in old])
        yield Finding(f"{load}: µs of the {part}", Comparison(by_part), more_than)
    by_clock = quotients([one.rate for one in old], [one.rate for one in new])
    yield Finding(f"{load}: time by the clock", Comparison(by_clock), CLOCK_MORE_THAN)


def findings_by_instructions(copies: Mapping[str, Checkout]) -> Iterator[Finding]:
    """The finding from counted instructions; none, and a printed reason, if they can't be counted."""
    found = counter()
    if found is None:
        print("instructions: neither perf's counters nor valgrind is here")
        return
    name, count = found
    try:
        old, new = (instructions_of_a_command(count, copies[name]) for name in ("base", "this"))
    except RuntimeError as error:
        print(f"instructions: {error}")
        return
    what = f"instructions of a command, {new:,.0f} ({name})"
    yield Finding(what, Comparison([new / old]), INSTRUCTIONS_MORE_THAN)


def copy_of(base: str) -> Checkout:
    """The sources of a commit with what running them needs, kept for the next time."""
    commit = _git("rev-parse", "--verify", f"{base}^{{commit}}")
    folder = COPIES / commit
    if not folder.exists():
        _git("worktree", "prune")
        _git("worktree", "add", "--quiet", "--detach", str(folder), commit)
    subprocess.run(["make", "--silent", "-C", folder, "install"], check=True, stdout=sys.stderr)
    return Checkout.at(folder)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", ROOT, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def in_starts(
    copies: dict[str, Checkout], loads: Sequence[Load], options: argparse.Namespace
) -> dict[Load, dict[str, list[Measured]]]:
    """The rounds of each load by the copies' names, after each of several starts of their services."""
    rounds: dict[Load, dict[str, list[Measured]]] = {load: {name: [] for name in copies} for load in loads}
    for _ in range(options.starts):
        # The copy that was started first comes second in the next start.
        copies = dict(reversed(copies.items()))
        taken = measure(copies, loads, seconds=options.seconds, rounds=options.rounds, idle=False)
        for load, found in taken:
            for name in copies:
                rounds[load][name] += found[name]
    return rounds


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--client", nargs="+", choices=CLIENTS, default=["lean", "own"])
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 64, 256])
    parser.add_argument("--by", nargs="+", choices=WAYS, default=WAYS)
    options = parser.parse_args()
    if options.starts * options.rounds < FEWEST_ROUNDS:
        parser.error(f"fewer than {FEWEST_ROUNDS} rounds in all say nothing")
    copies = {"base": copy_of(options.base), "this": Checkout.here()}
    loads = [Load(client, in_flight) for client in options.client for in_flight in options.in_flight]
    findings: list[Finding] = []
    if "clock" in options.by:
        for load, found in in_starts(copies, loads, options).items():
            findings += findings_of(load, found["base"], found["this"])
    if "instructions" in options.by:
        findings += findings_by_instructions(copies)
    for finding in findings:
        print(finding)
    slower = [one for one in findings if one.is_worse]
    print(f"{len(slower)} of these are slower than {options.base}" if slower else "nothing is slower")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
