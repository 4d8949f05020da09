"""The number of commands that upkeep finds at once."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from bus.writing.aggregates import Aggregates
from bus.writing.group_context import Place
from bus.writing.submission import Request
from bus.writing.upkeep import MAXIMUM_LOOKED_AT, MAXIMUM_PRUNED, Upkeep
from migrations.connection import open_memory

ALL = ("all_completed", "cancel")


@pytest.fixture
def aggregates() -> Iterator[Aggregates]:
    with closing(open_memory()) as connection:
        yield Aggregates(connection, capacity=1, maximum_bytes=1)


def found(aggregates: Aggregates) -> Upkeep:
    return Upkeep(aggregates, lambda *_: (), lambda *_: (), {}, lambda *_: ())


def keys(upkeep: Upkeep) -> list[str]:
    """The keys of the aggregates that the next commands are for."""
    return [
        request.command.id
        for one in upkeep.commands(0)
        for request in one.requests
        if isinstance(request, Request)
    ]


def test_many_small_groups_are_told_one_portion_after_the_other_without_a_rest(aggregates: Aggregates):
    groups, upkeep = aggregates.jobs.groups, found(aggregates)
    for number in range(250):
        groups.member_changed(f"g{number}", None, "completed")
        groups.add(f"j{number}", number, f"g{number}", ALL)

    rests = []
    while told := keys(upkeep):
        rests.append(not upkeep.has_more)
        for group in told:
            groups.remove(f"j{group[1:]}", group, ALL)

    assert rests == [False, False, True]


def test_groups_for_which_nothing_is_done_hide_no_others_and_are_not_looked_at_without_a_rest(
    aggregates: Aggregates,
):
    groups, upkeep = aggregates.jobs.groups, found(aggregates)
    for number in range(MAXIMUM_LOOKED_AT + 1):
        groups.member_changed(f"g{number}", None, "completed")
        groups.add(f"j{number}", number, f"g{number}", ALL)

    assert f"g{MAXIMUM_LOOKED_AT}" not in keys(upkeep)
    assert f"g{MAXIMUM_LOOKED_AT}" in keys(upkeep)
    assert not upkeep.has_more


def test_no_more_jobs_than_one_group_takes_are_told_at_once_and_few_are_not_behind_many(
    aggregates: Aggregates,
):
    dependents, upkeep = aggregates.jobs.dependents, found(aggregates)
    for number in range(2_000):
        dependents.add(f"j{number}", number, ["many"], patient=False)
    dependents.add("last", 2_000, ["one"], patient=True)
    dependents.ended.update(many=False, one=False)

    assert keys(upkeep) == ["many"] * 10
    assert upkeep.has_more
    assert keys(upkeep) == ["one"] + ["many"] * 10


def test_a_look_for_jobs_to_prune_is_at_so_many_and_goes_on_behind_those_that_stay(aggregates: Aggregates):
    rows: list[tuple[str, str | None, Place]] = [
        (f"j{number}", "awaited" if number < 1_000 else None, (number, "q", number))
        for number in range(1, 1_100)
    ]
    asked: list[int] = []

    def ended_jobs(state: str, until: int, behind: Place, limit: int) -> list[tuple[str, str | None, Place]]:
        asked.append(limit)
        return [row for row in rows if row[2] > behind][:limit]

    aggregates.jobs.groups.add("next", 1, "awaited", ALL)
    upkeep = Upkeep(aggregates, ended_jobs, lambda *_: (), {"completed": 1}, lambda *_: ())

    assert [len(keys(upkeep)) for _ in range(6)] == [0, 0, 0, 1, 99, 0]
    assert asked == [MAXIMUM_PRUNED // 2] * 6
