"""Progress bars on stderr, for work of more than a second, where somebody is watching."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ops.progress import Progress, ignore_progress

# Work that ends sooner needs no bar.
PATIENCE_SECONDS = 1.0


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Takes the progress of the block; shows it as bars on a terminal, and nowhere else."""
    if not sys.stderr.isatty():
        yield ignore_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:<12}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    began = time.monotonic()
    bars: dict[str, TaskID] = {}
    with Bars(*columns, console=Console(stderr=True), transient=True) as shown:

        def tell(what: str, done: int, total: int) -> None:
            if what not in bars:
                if time.monotonic() - began < PATIENCE_SECONDS:
                    return
                bars[what] = shown.add_task(what)
            shown.update(bars[what], completed=done, total=total or None)

        yield tell
