"""Instructions of the processor for one command: they hardly move, whatever else a machine does.

`perf stat` counts them where the processor lets it (virtual machines often do not), else `valgrind
--tool=callgrind`, which takes some fifty times as long. What every start takes goes out by the difference
between two runs of different length. Only the writer's way is counted, in one process: a body decoded, looked
through, decided, written and committed; neither the nats-server nor the client (`drivers/in_process.py`).
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks.core.checkout import Checkout

COMMANDS_IN_GROUP = 64
# Callgrind's counts of the same work differ by some millionths, those of perf by a thousandth or two.
_FEW_GROUPS, _MANY_GROUPS = 4, 20
_TIMEOUT_SECONDS = 1_200

Count = Callable[[Sequence[str | Path], Checkout], int]


def counter() -> tuple[str, Count] | None:
    """The tool that counts instructions on this machine, as a name and a function; None if there is none."""
    if shutil.which("perf") and _by_perf(["true"], Checkout.here()):
        return "perf stat", _by_perf
    return ("callgrind", _by_callgrind) if shutil.which("valgrind") else None


def instructions_of_a_command(count: Count, copy: Checkout) -> float:
    """The instructions that one command takes in that copy.

    Raises:
        RuntimeError: they can't be counted there.
    """
    few, many = (
        count(copy.in_process("in_process", str(groups)), copy) for groups in (_FEW_GROUPS, _MANY_GROUPS)
    )
    return (many - few) / ((_MANY_GROUPS - _FEW_GROUPS) * COMMANDS_IN_GROUP)


def _by_perf(command: Sequence[str | Path], copy: Checkout) -> int:
    said = _run(["perf", "stat", "-x", ",", "-e", "instructions:u", *command], copy)
    found = re.search(r"^(\d+),,instructions", said, re.MULTILINE)
    return int(found[1]) if found else 0


def _by_callgrind(command: Sequence[str | Path], copy: Checkout) -> int:
    tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    found = re.search(r"Collected : (\d+)", _run([*tool, *command], copy))
    return int(found[1]) if found else 0


def _run(command: Sequence[str | Path], copy: Checkout) -> str:
    # With a fixed seed, sets and dictionaries are laid out the same in each run.
    environment = {**copy.environment, "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [str(one) for one in command],
        cwd=copy.root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"nothing can be counted in {copy.root}: {done.stderr[-500:]}")
    return done.stderr
