"""Segments by their names: which of them lead on from a position."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ops.archive.segment import Segment, runs


def segment(first: int, last: int) -> Segment:
    return Segment(Path(f"events-{first}-{last}"), 1, first, last)


def by_looking_at_all(segments: Sequence[Segment], after: int) -> Iterator[Segment]:
    """The same as `runs`, by a plain search through all segments for each step."""
    position = after
    while True:
        yield from (one for one in segments if one.first > one.last == position)
        following = [one for one in segments if one.first <= position + 1 <= one.last]
        if not following:
            return
        best = max(following, key=lambda one: one.last)
        yield best
        position = best.last


places = st.tuples(st.integers(1, 30), st.integers(0, 9)).map(lambda one: (one[0], one[0] + one[1] - 1))


@given(st.lists(places, max_size=40), st.integers(0, 30))
def test_the_longest_segments_lead_on_until_there_is_a_gap(found: list[tuple[int, int]], after: int):
    segments = [segment(*one) for one in sorted(found)]
    assert list(runs(segments, after)) == list(by_looking_at_all(segments, after))


def test_an_archive_with_very_many_segments_is_gone_through_once():
    many = [segment(number, number) for number in range(1, 100_001)]
    assert sum(1 for _ in runs(many, 0)) == len(many)
