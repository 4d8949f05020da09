"""Progress of long operations, reported to a callback."""

from collections.abc import Callable

# Called with the step's name, the amount that is done and the whole amount (pages, bytes, rows or events).
Progress = Callable[[str, int, int], None]


def ignore_progress(what: str, done: int, total: int) -> None:
    """Reports nothing."""
