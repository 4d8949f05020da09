"""Commands that wait for the writer: in order for each sender, senders in turns, with room for the next."""

from bus.writing.submission import Submission
from bus.writing.waiting import (
    BURST_COMMANDS,
    BUSY_AFTER_MS,
    CALM_SECONDS,
    FEWEST_WAITING_COMMANDS,
    MAXIMUM_WAITING_BYTES,
    MAXIMUM_WAITING_COMMANDS,
    RATE_NS,
    Waiting,
)
from domain.errors import Invalid

COMMAND = Invalid("any", path="$")


def sent(sender: str | None, commands: int = 1, *, size_bytes: int = 1, in_order: bool = False) -> Submission:
    return Submission(requests=[COMMAND] * commands, size_bytes=size_bytes, sender=sender, in_order=in_order)


def waiting_with(*submissions: Submission) -> Waiting:
    waiting = Waiting(lambda: None)
    assert waiting.submit(list(submissions)) == []
    return waiting


def flood(waiting: Waiting, sender: str | None, *, size_bytes: int = 1) -> int:
    """How many commands one sender has waiting when there is no more room for it."""
    taken = 0
    while not waiting.submit([sent(sender, size_bytes=size_bytes)]):
        taken += 1
    return taken


def test_those_of_a_sender_keep_their_order_and_all_senders_take_turns():
    a, b, c = ([sent(name) for _ in range(3)] for name in "abc")
    waiting = waiting_with(*a, *b, *c)
    first, _ = waiting.take(4)
    assert first == [a[0], b[0], c[0], a[1]]
    waiting.submit([late := sent("a")])
    rest, _ = waiting.take(100)
    assert rest == [b[1], c[1], a[2], b[2], c[2], late]
    assert (waiting.commands, bool(waiting)) == (0, False)


def test_who_sends_all_the_time_leaves_room_for_the_others():
    waiting = Waiting(lambda: None)
    assert flood(waiting, "first") == MAXIMUM_WAITING_COMMANDS
    for number in range(4):
        assert flood(waiting, f"user-{number}") > 0
    assert waiting.submit([sent("another")]) == []
    (refused,) = waiting.submit([sent("first")])
    assert refused.outcome is not None
    assert refused.outcome.refusal is not None
    assert refused.outcome.refusal.code == "busy"


def test_nobody_takes_all_the_memory_either():
    waiting = Waiting(lambda: None)
    taken = flood(waiting, "first", size_bytes=1024 * 1024)
    assert taken == MAXIMUM_WAITING_BYTES / 1024 / 1024
    assert waiting.submit([sent("another", size_bytes=1024 * 1024)]) == []


def test_what_is_to_be_decided_in_order_has_one_lane_whoever_sent_it():
    a, b = (sent(name, in_order=True) for name in "ab")
    waiting = waiting_with(a, sent("a"), b)
    assert waiting.take_in_order() == [a, b]
    assert waiting.take_in_order() == []
    assert waiting.commands == 1


# The time of waiting


MILLISECOND = 1_000_000
GROUP = 128


class Writing:
    """A writer that takes a group every so often, by a clock of its own."""

    def __init__(self, busy_after_ms: int = BUSY_AFTER_MS) -> None:
        self.now = 0
        self.waiting = Waiting(lambda: None, busy_after_ms, lambda: self.now)

    def send(self, sender: str, commands: int, *, arrived_before_ms: int = 0) -> int:
        """How many of these commands are let in."""
        let_in = 0
        for _ in range(commands):
            arrived = self.now - arrived_before_ms * MILLISECOND
            if self.waiting.too_late(sender, arrived) is None and not self.waiting.submit([sent(sender)]):
                let_in += 1
        return let_in

    def write(self, groups: int = 1, *, each_ms: float = 10) -> list[str | None]:
        """The senders of the commands that the writer takes."""
        taken = []
        for _ in range(groups):
            taken += self.waiting.take(GROUP)[0]
            self.now += round(each_ms * MILLISECOND)
        return [one.sender for one in taken]

    def drain(self) -> None:
        while self.waiting:
            self.write()

    def overload(self, *, each_ms: float = 10, groups: int = 100) -> int:
        """How many commands wait when twice as many come as the writer takes."""
        for _ in range(groups):
            self.send("flood", 2 * GROUP)
            self.write(each_ms=each_ms)
        return self.waiting.commands


def test_so_many_wait_as_are_taken_in_time():
    for each_ms in (4, 10, 40):
        writing = Writing()
        waiting = writing.overload(each_ms=each_ms)
        in_time = max(BUSY_AFTER_MS / each_ms * GROUP, FEWEST_WAITING_COMMANDS)
        assert in_time - 2 * GROUP <= waiting <= in_time + 2 * GROUP, each_ms
        assert writing.waiting.has_turned_away_within(1)


def test_what_comes_too_late_is_told_so_with_a_time_to_come_back():
    writing = Writing()
    writing.overload()
    writing.send("flood", 2 * GROUP)
    outcome = writing.waiting.too_late("flood", writing.now)
    assert outcome is not None
    assert outcome.refusal is not None
    assert outcome.refusal.code == "busy"
    assert outcome.refusal.details["retry_after_ms"] == BUSY_AFTER_MS


def test_a_writer_that_gets_slower_has_fewer_wait_soon():
    writing = Writing()
    writing.overload(each_ms=2)
    waiting = writing.overload(each_ms=40, groups=100)
    assert waiting <= BUSY_AFTER_MS / 40 * GROUP + 2 * GROUP


def test_a_burst_is_let_in_however_slow_the_writer_is():
    writing = Writing()
    assert writing.send("slow", 200) == 200
    writing.write(2, each_ms=5_000)
    writing.now += RATE_NS
    writing.write()
    assert writing.send("burst", BURST_COMMANDS // 2) == BURST_COMMANDS // 2
    writing.write(each_ms=2_000)
    # Their time at the broker counts, too.
    assert writing.send("burst", BURST_COMMANDS // 2, arrived_before_ms=2_000) == BURST_COMMANDS // 2
    writing.write(each_ms=2_000)
    assert writing.send("burst", 1) == 0


def test_an_overload_is_no_burst_again_as_soon_as_nothing_waits():
    # But the writer always gets a next group, however long its commands have waited at the broker.
    writing = Writing()
    writing.overload()
    writing.drain()
    assert writing.send("flood", 2_000, arrived_before_ms=1_000) == FEWEST_WAITING_COMMANDS
    writing.drain()
    writing.now += round(CALM_SECONDS * 1_000) * MILLISECOND
    writing.write()
    assert not writing.waiting.has_turned_away_within(CALM_SECONDS)
    assert writing.send("flood", BURST_COMMANDS) == BURST_COMMANDS


def test_who_floods_has_nobody_else_turned_away():
    writing = Writing()
    writing.overload()
    for _ in range(20):
        writing.send("flood", 2 * GROUP)
        # A fifth of what the writer takes; half of it is one user's share.
        assert writing.send("other", GROUP // 5, arrived_before_ms=100) == GROUP // 5
        assert writing.write().count("other") == GROUP // 5
    # Among many senders with few waiting commands, one with more does not count as a flood.
    for number in range(100):
        writing.send(f"user-{number}", 1)
    assert writing.send("other", 10) == 10


def test_what_is_to_be_decided_in_order_is_never_too_late():
    writing = Writing()
    writing.overload()
    turned_away = writing.waiting.submit([sent("flood", in_order=True) for _ in range(1_000)])
    assert turned_away == []


def test_without_a_bound_there_is_only_that_of_the_room():
    writing = Writing(busy_after_ms=0)
    writing.overload(groups=100)
    assert writing.waiting.commands == 100 * GROUP
    assert not writing.waiting.has_turned_away_within(1)


def test_how_long_it_is_waited_is_known_while_it_is():
    writing = Writing()
    assert writing.waiting.wait_seconds == 0
    writing.overload()
    assert 0.2 < writing.waiting.wait_seconds < 0.3


def test_a_long_errand_does_not_make_the_writer_slow():
    writing = Writing()
    waiting = writing.overload()
    writing.waiting.add_errand((lambda _: None, lambda _: None))
    writing.waiting.take(GROUP)
    writing.now += 1_000 * MILLISECOND
    writing.waiting.errands_are_done()
    writing.now += 10 * MILLISECOND
    writing.write()
    assert writing.waiting.commands >= waiting - 2 * GROUP
    assert writing.waiting.wait_seconds < 0.3
