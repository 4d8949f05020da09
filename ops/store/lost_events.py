"""The files with what a leader answered and the cluster went on without, for its operator."""

from fnmatch import fnmatchcase
from pathlib import Path

_PATTERN = "lost-events-*.jsonl"


def lost_events_path(data: Path, timeline: int, first: int, last: int) -> Path:
    """Where the events of a timeline from one position to another are kept, one CloudEvent a line."""
    return data / f"lost-events-timeline-{timeline}-{first}-{last}.jsonl"


def lost_events(data: Path) -> list[Path]:
    """The files that nobody has moved or deleted yet.

    Raises:
        OSError: the folder cannot be read.
    """
    # Not with `glob`: from Python 3.12 on, a folder that it cannot read has no files.
    return sorted(path for path in data.iterdir() if fnmatchcase(path.name, _PATTERN))
