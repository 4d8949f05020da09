"""After any changes of log and stream, the published events are the log's, each once and in order."""

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bus.log.cloud_events import Origin
from bus.publishing.stream_state import PublishedEvent, StreamStanding, locate
from hyperpage_client.contract.stream_metadata import Segment
from tests.support.examples import examples

Event = tuple[int, int]


class Relaying(RuleBasedStateMachine):
    """A log as (timeline, position), and a stream as a model of the broker's, published to in bits."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Event] = [(1, 1)]
        self.timelines = [(1, 1)]
        # Every log that there was: what a backup may hold.
        self.backups: list[tuple[list[Event], list[tuple[int, int]]]] = []
        self.newest_timeline = 1
        self.forget_the_stream()

    @rule()
    def forget_the_stream(self) -> None:
        """Deletes the stream: the next one is new."""
        self.stream: dict[int, Event] = {}
        self.last_sequence = 0
        self.segments: tuple[Segment, ...] = ()
        # All events that the stream has ever had.
        self.ever: list[Event] = []

    @rule(count=st.integers(1, 5))
    def append(self, count: int) -> None:
        for _ in range(count):
            self.log.append((self.timelines[-1][0], len(self.log) + 1))

    @rule()
    def back_up(self) -> None:
        self.backups.append((list(self.log), list(self.timelines)))

    @precondition(lambda self: self.backups)
    @rule(choice=st.randoms(use_true_random=False))
    def restore(self, choice) -> None:
        events, timelines = choice.choice(self.backups)
        position = choice.randint(0, len(events))
        self.newest_timeline += 1
        self.log = events[:position]
        self.timelines = [one for one in timelines if one[1] <= position]
        self.timelines.append((self.newest_timeline, position + 1))
        # The fork itself, and perhaps more.
        self.append(choice.randint(1, 3))

    @rule(count=st.integers(0, 8))
    def publish(self, count: int) -> None:
        """Publishes as the relay does, which dies after some messages."""
        place = self.look()
        self.segments = place.segments
        for event in self.log[place.next_position - 1 :][:count]:
            self.last_sequence += 1
            self.stream[self.last_sequence] = event
            self.ever.append(event)

    @rule(kept=st.integers(0, 3))
    def cut(self, kept: int) -> None:
        """Removes the oldest messages, perhaps all, as a purge, an age or a limit does."""
        self.stream = {sequence: self.stream[sequence] for sequence in sorted(self.stream)[-kept or 9**9 :]}

    @precondition(lambda self: self.last_sequence in self.stream)
    @rule()
    def delete_last(self) -> None:
        del self.stream[self.last_sequence]

    @precondition(lambda self: len(self.stream) == self.last_sequence)
    @rule(lost=st.integers(1, 4))
    def lose(self, lost: int) -> None:
        """A power cut takes the last messages of a whole stream, and their numbers with them."""
        for _ in range(min(lost, self.last_sequence)):
            del self.stream[self.last_sequence]
            self.last_sequence -= 1
            self.ever.pop()

    @invariant()
    def nothing_is_published_twice(self) -> None:
        assert len(set(self.ever)) == len(self.ever)

    @invariant()
    def every_message_is_where_its_segment_says(self) -> None:
        begun = [one for one in self.segments if one.first_sequence <= self.last_sequence]
        for sequence, (timeline, position) in self.stream.items():
            segment = [one for one in begun if one.first_sequence <= sequence][-1]
            assert (segment.timeline, segment.offset) == (timeline, sequence - position)

    @invariant()
    def publishing_to_the_end_leaves_nothing_out(self) -> None:
        rest = self.log[self.look().next_position - 1 :]
        assert set(self.log) <= {*self.ever, *rest}
        assert not set(rest) & set(self.ever)

    @invariant()
    def what_both_have_in_common_is_the_same_event(self) -> None:
        place = self.look()
        if place.shared is not None and place.shared[0] in self.stream:
            assert self.stream[place.shared[0]] == self.log[place.shared[1] - 1]

    @invariant()
    def looking_again_changes_nothing(self) -> None:
        place = self.look()
        assert self.look(place.segments) == place

    def look(self, segments: tuple[Segment, ...] | None = None) -> StreamStanding:
        last = max(self.stream, default=None)
        return locate(
            "HYPERPAGE_EVENTS",
            Origin("a", tuple(self.timelines)),
            len(self.log),
            last_sequence=self.last_sequence,
            segments=msgspec.json.decode(
                msgspec.json.encode(self.segments if segments is None else segments), type=tuple[Segment, ...]
            ),
            last=None if last is None else PublishedEvent(last, *self.stream[last], ""),
        )


TestRelaying = Relaying.TestCase
TestRelaying.settings = settings(max_examples=examples(200), stateful_step_count=30)
