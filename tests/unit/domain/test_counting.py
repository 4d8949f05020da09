"""How numbers of things are said."""

from domain.counting import counted


def test_one_thing_is_told_from_many_and_its_verb_goes_with_it() -> None:
    said = [counted(number, "event") for number in (0, 1, 2, 11_000)]
    assert said == ["0 events", "1 event", "2 events", "11,000 events"]
    assert [counted(number, "query waits", "queries wait") for number in (1, 2)] == [
        "1 query waits",
        "2 queries wait",
    ]
