"""What comes too often is counted, whoever sends it, and nothing is left out without a number."""

import json

from bus.serving.audit import Act
from ops.audit.repeats import MAXIMUM_KINDS, OTHERS_A_WINDOW, REFUSED_A_WINDOW, REFUSED_AT_ONCE, Repeats
from tests.support.services.acts import act


class Seconds:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def counts(acts: list[Act]) -> list[int]:
    return [json.loads(one.request)["more_of_these"] for one in acts]


def test_the_first_refusals_of_a_kind_are_written_and_the_others_counted_once_a_minute() -> None:
    clock = Seconds()
    repeats = Repeats(clock=clock)
    refused = act("session.open", outcome="refused", code="unauthorized")
    assert [repeats.is_to_be_written(refused) for _ in range(50)].count(True) == REFUSED_A_WINDOW
    assert repeats.counted(1) == []
    clock.now = 61
    (said,) = repeats.counted(7)
    assert (said.at, said.action, said.outcome, said.code) == (7, "session.open", "refused", "unauthorized")
    assert counts([said]) == [50 - REFUSED_A_WINDOW]
    assert repeats.is_to_be_written(refused), "another minute begins"


def test_many_addresses_fill_the_log_no_sooner_than_one() -> None:
    clock = Seconds()
    repeats = Repeats(clock=clock)
    written = lines = noted = 0
    minutes = 24 * 60
    for minute in range(minutes):
        for number in range(20):
            one = act("session.open", outcome="refused", address=f"2001:db8::{minute:x}:{number:x}")
            written += repeats.is_to_be_written(one)
        clock.now += 61
        said = repeats.counted(1)
        lines, noted = lines + len(said), noted + sum(counts(said))
    assert written + lines < 24 * 60 + REFUSED_AT_ONCE + 24 * 122
    assert written + noted == 20 * minutes, "all are told, if only as a number"


def test_kinds_have_a_limit_and_acts_that_were_done_are_never_taken_for_refusals() -> None:
    repeats = Repeats(clock=Seconds())
    for number in range(MAXIMUM_KINDS):
        repeats.is_to_be_written(act(outcome="refused", address=str(number)))
    assert not repeats.is_to_be_written(act(outcome="refused", address="another"))
    assert repeats.is_to_be_written(act(outcome="done"))


def test_what_is_done_is_written_one_by_one_for_much_longer() -> None:
    clock = Seconds()
    repeats = Repeats(clock=clock)
    assert [repeats.is_to_be_written(act()) for _ in range(200)].count(True) == OTHERS_A_WINDOW
    assert counts(repeats.counted(1, all_of_them=True)) == [200 - OTHERS_A_WINDOW]
