"""The timelines that a history goes through, in order, each with its first position: `history_of`."""

from collections.abc import Iterator

Timelines = tuple[tuple[int, int], ...]

# A position behind all others.
END = 2**62


def history_of(timelines: Timelines, position: int = END) -> Iterator[tuple[int, int, int]]:
    """The number, first and last position of each timeline of a history, up to `position`."""
    for place, (timeline, first) in enumerate(timelines):
        end = timelines[place + 1][1] - 1 if place + 1 < len(timelines) else position
        if first <= min(end, position):
            yield timeline, first, min(end, position)
