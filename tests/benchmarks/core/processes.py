"""Processes that are started, waited for and ended, and what they take of processor and memory (Linux)."""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_SECONDS = 60.0
END_SECONDS = 60.0
# The number of the clock that the scheduler keeps, among the clocks of a process.
_SCHEDULED = 2


@contextmanager
def started(command: Sequence[str | Path], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process for the length of the block; SIGTERM ends it, SIGKILL where it does not listen."""
    options = {"stdout": subprocess.DEVNULL, **options}
    process = subprocess.Popen([str(one) for one in command], **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(condition: Callable[[], Any], what: str, process: subprocess.Popen[Any] | None = None) -> Any:
    """The value of the condition once it is true; if the process ends meanwhile, that is an error."""
    deadline = time.monotonic() + START_SECONDS
    while not (found := condition()):
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{what} ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} was not there within {START_SECONDS:g} s")
        time.sleep(0.01)
    return found


def cpu_seconds(process_id: int) -> float:
    """The CPU time of a process so far, in all of its threads, including those that have ended.

    By the clock that Linux keeps for each process, whose number is made of the process's: `/proc/…/stat`
    counts in hundredths of a second, which is too rough for one request at a time.
    https://man7.org/linux/man-pages/man3/clock_getcpuclockid.3.html
    """
    return time.clock_gettime(~process_id << 3 | _SCHEDULED)


def cpu_of(process_ids: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """The CPU time of each group of processes, by the group's name."""
    return {name: sum(map(cpu_seconds, ids)) for name, ids in process_ids.items()}


def memory_bytes(process_id: int) -> int:
    """The proportional set size of a process: what it shares counts by its share."""
    rollup = Path(f"/proc/{process_id}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024


def children(process_id: int, *, named: str | None = None) -> list[int]:
    """The processes that one has started, of any depth; of that name, if one is given."""
    found = []
    for thread in Path(f"/proc/{process_id}/task").iterdir():
        for child in map(int, (thread / "children").read_text().split()):
            try:
                name = Path(f"/proc/{child}/comm").read_text().strip()
                found += [*([child] if named in (None, name) else []), *children(child, named=named)]
            except (FileNotFoundError, ProcessLookupError):
                # The child has just ended.
                continue
    return found
