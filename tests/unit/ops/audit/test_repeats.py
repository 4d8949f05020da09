"""Acts that come too often are counted instead of written, for all callers; the log has each count."""

import json

import msgspec

from bus.serving.audit import Act
from ops.audit.repeats import MAXIMUM_KINDS, OTHERS_A_WINDOW, REFUSED_A_WINDOW, REFUSED_AT_ONCE, Repeats
from tests.support.services.acts import act


class Seconds:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def stranger(number: int) -> Act:
    """The refusal of an unknown caller, with an address of its own."""
    one = act("token.use", outcome="refused", code="unknown_token", address=f"2001:db8::{number:x}")
    return msgspec.structs.replace(one, actor=msgspec.structs.replace(one.actor, principal=None))


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
        written += sum(repeats.is_to_be_written(stranger(20 * minute + number)) for number in range(20))
        clock.now += 61
        said = repeats.counted(1)
        lines, noted = lines + len(said), noted + sum(counts(said))
    assert written + lines < minutes + REFUSED_AT_ONCE + 24 * 122
    assert written + noted == 20 * minutes, "all are told, if only as a number"


def test_one_who_is_known_logs_in_from_many_addresses_and_fills_the_log_no_sooner() -> None:
    repeats = Repeats(clock=Seconds())
    log_ins = [act("session.open", address=f"2001:db8::{number:x}") for number in range(2_000)]
    assert sum(map(repeats.is_to_be_written, log_ins)) == OTHERS_A_WINDOW


def test_strangers_do_not_hide_what_one_who_is_known_has_tried() -> None:
    clock = Seconds()
    repeats = Repeats(clock=clock)
    for number in range(2 * MAXIMUM_KINDS):
        repeats.is_to_be_written(stranger(number))
    assert repeats.is_to_be_written(act("backup.restore", outcome="refused", code="not_found"))
    clock.now = 61
    assert sum(counts(repeats.counted(1))) == 2 * MAXIMUM_KINDS - REFUSED_AT_ONCE


def test_one_who_is_known_does_not_hide_what_another_has_tried() -> None:
    clock = Seconds()
    repeats = Repeats(clock=clock)
    for number in range(MAXIMUM_KINDS - 1):
        repeats.is_to_be_written(act(f"act-{number}", name="mallory", outcome="refused", code="forbidden"))
    assert repeats.is_to_be_written(act("backup.restore", outcome="refused", code="not_found"))
    clock.now = 61
    assert sum(counts(repeats.counted(1))) == MAXIMUM_KINDS - 1 - REFUSED_AT_ONCE


def test_kinds_have_a_limit_and_what_was_done_is_counted_apart() -> None:
    repeats = Repeats(clock=Seconds())
    for number in range(MAXIMUM_KINDS):
        repeats.is_to_be_written(act(f"act-{number}", outcome="refused"))
    assert not repeats.is_to_be_written(act("another", outcome="refused"))
    assert not repeats.is_to_be_written(act(outcome="done")), "it is counted"
    said = repeats.counted(1, all_of_them=True)
    assert sorted(one.outcome for one in said) == ["done", "refused"]


def test_what_is_done_is_written_one_by_one_for_much_longer() -> None:
    clock = Seconds()
    repeats = Repeats(clock=clock)
    assert [repeats.is_to_be_written(act()) for _ in range(200)].count(True) == OTHERS_A_WINDOW
    assert counts(repeats.counted(1, all_of_them=True)) == [200 - OTHERS_A_WINDOW]
