"""Row versions of a sealed file, made by processes beside the one that writes its events: `Folding`.

Folding is done in Python, in 10 µs an event. So a long stretch is folded by processes of their own while this
one writes the events: `python -m ops.analytics.export.folding`, with a `Task` as JSON on stdin, and the
answer on stdout.
"""

import gc
import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import msgspec

from bus.log.states import read_aggregate
from domain.catalogue import UnknownEventTypeError
from domain.decider import Aggregate
from migrations.sqlite_words import words_of
from ops.analytics.export.row_versions import Fold, Range
from ops.analytics.lake.columns import literal
from ops.analytics.lake.errors import AnalyticsError
from ops.analytics.lake.files import File
from ops.backup.sound import open_sealed
from ops.store.troubles import require_damage
from ops.targets.errors import BackupError
from projections.rebuild import streams_of

# How many processes fold. Writing the events meanwhile takes half as much time as one of them.
PROCESSES = 2
# The number of events above which processes are worth their start, which takes 0.5 s for each.
WORTH_A_PROCESS = 20_000
# The folder of this program's packages.
OURS = str(Path(__file__).parents[3])
# The exit code of a process that found an event that cannot be folded.
_REFUSED = 3


class Share(msgspec.Struct, frozen=True):
    """The streams that one of several folds takes."""

    number: int = 0
    of: int = 1

    @property
    def condition(self) -> str:
        """The SQL condition of its streams, so that other streams never become objects of Python.

        The length and the last three letters of a stream's name decide; every name has more letters.
        """
        letters = " + ".join(f"unicode(substr(stream, -{place}))" for place in (1, 2, 3))
        return "true" if self.of == 1 else f"(length(stream) + {letters}) % {self.of} = {self.number}"

    @property
    def suffix(self) -> str:
        """The end of the names of its files, which distinguishes them from those of the other folds."""
        return "" if self.of == 1 else f"-{self.number}"


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """The work of one fold: ranges that follow each other in the log of a sealed file.

    With a `table`, only the events of that table are folded.
    """

    lake: str
    backup: str
    ranges: list[Range]
    share: Share = Share()
    table: str = ""

    @property
    def condition(self) -> str:
        """The SQL condition of its streams."""
        if not self.table:
            return self.share.condition
        first, behind = map(literal, streams_of(self.table))
        return f"stream >= {first} AND stream < {behind}"


Files = list[dict[str, File]]


class Folding:
    """The files of row versions, which processes write; without these, they are written in `files`."""

    def __init__(self, task: Task) -> None:
        self._task = task
        events = sum(one.last - one.first + 1 for one in task.ranges)
        shares = [Share(number, PROCESSES) for number in range(PROCESSES)] if events > WORTH_A_PROCESS else []
        self._processes = [_start(msgspec.structs.replace(task, share=share)) for share in shares]

    def files(self) -> list[Files]:
        """The files that each process has written, whole and on disk.

        Raises:
            BackupError: the log has an event that cannot be folded.
            AnalyticsError: a process was killed, or failed.
        """
        if not self._processes:
            return [fold_sealed(self._task)]
        found: list[Files] = []
        for process in self._processes:
            out, _ = process.communicate()
            if process.returncode == _REFUSED:
                raise BackupError("damaged", out.decode())
            if process.returncode != 0:
                raise AnalyticsError(
                    "interrupted",
                    f"the process that folds the log ended with {process.returncode}",
                    "nothing was added to the lake: export again; if it was killed, give it more memory",
                )
            found.append(msgspec.json.decode(out, type=Files))
        return found

    def __enter__(self) -> "Folding":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _start(task: Task) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        # `-P`: a folder of the working directory that is called `ops` must not be run instead.
        [sys.executable, "-P", "-m", __name__],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (OURS, os.environ.get("PYTHONPATH"))))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(task))
    process.stdin.close()
    process.stdin = None
    return process


def fold_sealed(task: Task) -> Files:
    """The files of each range, by table.

    Raises:
        BackupError: the log has an event that cannot be folded.
    """
    with closing(open_sealed(Path(task.backup))) as connection:

        def load(table: str, key: str, position: int) -> Aggregate:
            return read_aggregate(connection, table, key, up_to_position=position)

        def rows(of: Range) -> Iterable[tuple[Any, ...]]:
            return connection.execute(
                "SELECT position, stream, version, type, recorded_at, data FROM events"
                f" WHERE position BETWEEN ? AND ? AND {task.condition} ORDER BY position",
                (of.first, of.last),
            )

        fold = Fold(load, suffix=task.share.suffix)
        try:
            return [fold.write(Path(task.lake), one, rows(one)) for one in task.ranges]
        except (UnknownEventTypeError, msgspec.MsgspecError, apsw.Error, UnicodeDecodeError) as error:
            require_damage(error, "the log")
            raise BackupError("damaged", f"the log cannot be folded: {words_of(error)}") from error


def main() -> int:
    """Does one task, which is read from stdin; the answer goes to stdout."""
    # Python's collector of cycles would visit many objects, and none of them is part of a cycle.
    gc.disable()
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    try:
        sys.stdout.buffer.write(msgspec.json.encode(fold_sealed(task)))
    except BackupError as error:
        sys.stdout.write(error.message)
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
