"""Progress bars on stderr, for whatever takes longer than a second, where somebody is watching."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# What is done sooner needs no bar.
PATIENCE_SECONDS = 1.0


@contextmanager
def shown_progress() -> Iterator[Callable[[str, int, int], None]]:
    """What to tell: what is being done, how much of it is done, how much there is to do (0: unknown)."""
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<12}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    began = time.monotonic()
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:

        def tell(what: str, done: int, total: int) -> None:
            if what not in bars:
                if time.monotonic() - began < PATIENCE_SECONDS:
                    return
                bars[what] = shown.add_task(what)
            shown.update(bars[what], completed=done, total=total or None)

        yield tell
