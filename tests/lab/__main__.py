"""Runs the lab: `make lab`, or `python -m tests.lab`. See `--help`."""

import argparse
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ops.lab.results import Results, Run
from ops.version import service_version
from tests.lab import page, results
from tests.lab.experiment import Experiment
from tests.lab.experiments import by_name
from tests.lab.running import SEEDS, Outcome, outcomes
from tests.support.repository import ROOT

# The files that the lab writes itself: changes of these don't change what was tried.
MADE = tuple(one.relative_to(ROOT) for one in (results.FILE, page.PAGE, page.BADGE))


def main() -> int:
    """0 if everything held, 1 if anything broke."""
    asked = _asked()
    if asked.page:
        page.write(results.read())
        return 0
    chosen = [by_name()[name] for name in asked.only]
    first_seed = random.SystemRandom().randrange(SEEDS) if asked.seed is None else asked.seed
    began_at = datetime.now(UTC)
    lacking = {one.name: why for one in chosen if (why := one.lacking()) is not None}
    for name, why in lacking.items():
        print(f"{name}: not on this machine: {why}")
    able = [one for one in chosen if one.name not in lacking]
    print(f"{len(able)} experiments for {asked.minutes:g} minutes, from seed {first_seed} on", flush=True)
    found: dict[str, list[Outcome]] = defaultdict(list)
    # A run that is ended early keeps its findings, also if a shell runs it in the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        for outcome in outcomes(
            able, first_seed=first_seed, seconds=asked.minutes * 60, trials=asked.trials, folder=asked.folder
        ):
            found[outcome.experiment].append(outcome)
            _tell(outcome)
    except KeyboardInterrupt:
        print("Ended early.")
    run = Run(
        began_at=began_at.isoformat(timespec="minutes"),
        commit=_git("rev-parse", "--short=12", "HEAD"),
        version=service_version(),
        machine=_machine(),
        experiments={one.name: results.tried(one, found[one.name], first_seed) for one in chosen},
    )
    _tell_all(chosen, run)
    _keep(asked, run)
    return 1 if any(one.broken is not None for several in found.values() for one in several) else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="for how long trials begin (60)")
    parser.add_argument("--only", nargs="+", choices=by_name(), default=list(by_name()), metavar="NAME")
    parser.add_argument("--seed", type=int, help="the first trial's; by chance if there is none")
    parser.add_argument("--trials", type=int, help="the most of each experiment, however long that takes")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()), help="where files are made"
    )
    parser.add_argument("--page", action="store_true", help="only write the page anew, from what is kept")
    return parser.parse_args()


def _tell(outcome: Outcome) -> None:
    said = _counted(outcome.counts) or "BROKEN"
    print(f"{outcome.experiment}, seed {outcome.seed}, {outcome.seconds:.1f} s: {said}", flush=True)
    if outcome.broken is not None:
        print(f"{outcome.printed}\n  {outcome.broken}\n  Again: {outcome.again}", flush=True)


def _tell_all(chosen: Sequence[Experiment], run: Run) -> None:
    print()
    for one in chosen:
        tried = run.experiments[one.name]
        broke = f"; {len(tried.breaks)} BROKEN" if tried.breaks else ""
        print(f"{one.name}: {tried.trials} trials{broke}: {_counted(tried.counts)}")


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items())


def _keep(asked: argparse.Namespace, run: Run) -> None:
    """Adds the run to the kept ones, if it is about a commit, and its seed was drawn by chance."""
    if asked.seed is not None:
        print("Not kept: the seed was chosen.")
    elif _git("status", "--porcelain", "--untracked-files=no", "--", ".", *(f":!{one}" for one in MADE)):
        print("Not kept: there are changes that no commit has.")
    else:
        kept = Results(runs=[*results.read().runs, run])
        results.write(kept)
        page.write(kept)
        print(f"Kept: {', '.join(map(str, MADE))}.")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _machine() -> str:
    """The kind of this machine: the facts that others need for a comparison, without its name."""
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} × {platform.machine()}, {memory:.0f} GiB, {system}, "
        f"Python {platform.python_version()}"
    )


if __name__ == "__main__":
    sys.exit(main())
