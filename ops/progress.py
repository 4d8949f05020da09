"""How far something is that takes long: whoever watches is told."""

from collections.abc import Callable

# Is told what is being done, how far it is and how far it goes (pages, bytes, rows or events).
Progress = Callable[[str, int, int], None]


def ignore_progress(what: str, done: int, total: int) -> None:
    """Tells nobody."""
