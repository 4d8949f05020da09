"""Files for the operator, with the events that a leader answered and the cluster went on without."""

from fnmatch import fnmatchcase
from pathlib import Path

_PATTERN = "lost-events-*.jsonl"


def lost_events_path(data: Path, timeline: int, first: int, last: int) -> Path:
    """The file for the lost events of a timeline from one position to another, one CloudEvent a line."""
    return data / f"lost-events-timeline-{timeline}-{first}-{last}.jsonl"


def lost_events(data: Path) -> list[Path]:
    """The files that the operator has not moved or deleted yet.

    Raises:
        OSError: the folder cannot be read.
    """
    # Not with `glob`: from Python 3.12 on, it finds no files in a folder that it cannot read.
    return sorted(path for path in data.iterdir() if fnmatchcase(path.name, _PATTERN))
