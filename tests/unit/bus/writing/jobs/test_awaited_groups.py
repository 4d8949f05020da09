"""Groups that jobs wait for, as memory has them."""

from collections import Counter

from bus.writing.jobs.awaited_groups import HELD, AwaitedGroups
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
    assert (groups.is_awaited("h"), list(groups.awaited()), list(groups.to_look_at)) == (False, [], [])


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


def test_those_that_wait_come_the_oldest_first_whatever_they_wait_for_and_held_ones_are_left_alone():
    groups = AwaitedGroups(Table().counts)
    groups.member_changed("g", None, "completed")
    groups.add("third", 3, "g", ("all_ended", "wait"))
    groups.add("first", 1, "g", ALL)
    groups.add("second", 2, "g", HELD)
    groups.add("fourth", 4, "g", ("one_failed", "wait"))

    assert groups.first("g", groups.counts("g"), 9) == ["first", "third"]
    assert groups.first("g", None, 3) == ["first", "second", "third"]
    assert groups.undecided("g") == 2
