"""Groups that jobs wait for, as memory has them."""

from collections import Counter
from collections.abc import Iterator

from bus.writing.jobs.awaited_groups import HELD, MAXIMUM_RECENT, AwaitedGroups
from domain.jobs.groups import GroupCounts

ALL = ("all_completed", "cancel")


class Table:
    """Jobs of groups that are stored, and how often each group was counted."""

    def __init__(self, **unfinished: int) -> None:
        self._unfinished = unfinished
        self.asked: Counter[str] = Counter()

    def counts(self, group_id: str) -> GroupCounts:
        self.asked[group_id] += 1
        return GroupCounts(unfinished=self._unfinished.get(group_id, 0))


def test_a_group_is_counted_once_however_many_of_its_jobs_end():
    table = Table(g=100_000)
    groups = AwaitedGroups(table.counts)
    groups.add("next", 1, "g", ALL)

    for _ in range(100_000):
        groups.member_changed("g", "pending", "running")
        groups.member_changed("g", "running", "completed")
        groups.undecided("g")
        groups.settle()

    assert groups.counts("g") == GroupCounts(completed=100_000)
    assert groups.first("g", groups.counts("g"), 10) == ["next"]
    assert table.asked == {"g": 1}


def test_nothing_is_counted_nor_kept_of_a_group_that_nobody_waits_for():
    table = Table()
    groups = AwaitedGroups(table.counts)
    groups.member_changed("g", None, "pending")
    groups.settle()
    groups.add("next", 1, "h", ALL)
    groups.remove("next", "h", ALL)

    assert not table.asked
    assert (groups.is_awaited("h"), groups._counts, groups.to_look_at) == (False, {}, {})


def test_what_the_open_transaction_has_changed_is_counted_with_what_is_stored():
    groups = AwaitedGroups(Table(g=2).counts)
    groups.member_changed("g", None, "pending")
    groups.member_changed("g", "running", "failed")

    assert groups.counts("g") == GroupCounts(unfinished=2, unsuccessful=1)


def test_a_group_that_is_counted_amid_a_transaction_is_right_after_that_was_taken_back():
    groups = AwaitedGroups(Table(g=2).counts)
    groups.member_changed("g", "running", "failed")
    groups.add("next", 1, "g", ALL)
    assert groups.undecided("g") == 1
    groups.member_changed("g", "failed", "running")
    groups.settle()

    assert groups.counts("g") == GroupCounts(unfinished=2)
    assert groups.undecided("g") == 0


def test_who_began_to_wait_first_comes_first_after_a_start_by_age_and_held_ones_are_left_alone():
    groups = AwaitedGroups(Table().counts)
    groups.member_changed("g", None, "completed")
    for name, position, kind in (
        ("third", 3, ALL),
        ("first", 1, ALL),
        ("second", 2, HELD),
        ("fourth", 4, ("one_failed", "wait")),
    ):
        groups.add(name, position, "g", kind)

    assert groups.first("g", groups.counts("g"), 9) == ["third", "first"]
    groups.sort()
    assert groups.first("g", groups.counts("g"), 9) == ["first", "third"]
    assert groups.first("g", groups.counts("g"), 1) == ["first"]
    assert groups.undecided("g") == 2


def test_a_group_is_counted_once_however_many_wait_for_it_one_after_the_other():
    table = Table(g=100_000)
    groups = AwaitedGroups(table.counts)
    for number in range(100):
        groups.counts("g")
        groups.add(f"next{number}", number, "g", ALL)
        groups.remove(f"next{number}", "g", ALL)
        groups.member_changed("g", "running", "completed")
        groups.settle()

    assert groups.counts("g") == GroupCounts(unfinished=99_900, completed=100)
    assert table.asked == {"g": 1}


def test_of_groups_that_nobody_waits_for_those_asked_for_last_are_kept_counted():
    table = Table()
    groups = AwaitedGroups(table.counts)
    groups.add("next", 1, "awaited", ALL)
    for number in range(MAXIMUM_RECENT):
        groups.counts(f"g{number}")
    for name in ("g0", "another", "g1", "g0", "awaited", "awaited"):
        groups.counts(name)

    assert {name: times for name, times in table.asked.items() if times > 1} == {"g1": 2}


def test_no_more_of_those_that_wait_are_looked_at_than_are_asked_for():
    read: list[str] = []

    class Jobs(dict[str, int]):
        def __iter__(self) -> Iterator[str]:
            for job in super().__iter__():
                read.append(job)
                yield job

    groups = AwaitedGroups(Table().counts)
    groups.member_changed("g", None, "completed")
    groups._waiting["g"] = {ALL: Jobs((f"j{number}", number) for number in range(1_000))}

    assert groups.first("g", groups.counts("g"), 2) == read == ["j0", "j1"]
