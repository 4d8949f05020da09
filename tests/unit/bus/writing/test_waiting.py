"""What waits for the writer: in order for each sender, in turns for all, and with room for the next one."""

from bus.writing.submission import Submission
from bus.writing.waiting import MAXIMUM_WAITING_BYTES, MAXIMUM_WAITING_COMMANDS, Waiting
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
