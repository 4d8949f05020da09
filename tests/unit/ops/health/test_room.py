"""The growth of a store, from measurements of its room."""

from ops.health.room import DAY_MS, DiskRoom, RoomPart, Sample, room_of

HOUR_MS = 3_600_000
NOW = 40 * DAY_MS
GIB = 2**30


def sample(hours_ago: float, free: int = 100 * GIB, **parts: int) -> Sample:
    return Sample(at=NOW - int(hours_ago * HOUR_MS), parts=parts, free={"/data": free})


def test_one_measurement_says_nothing_of_growth():
    assert room_of([sample(0, events=7, jobs=9)]).parts == (
        RoomPart(part="jobs", size_bytes=9, growth_bytes_a_day=None),
        RoomPart(part="events", size_bytes=7, growth_bytes_a_day=None),
    )


def test_growth_is_that_of_the_last_day():
    samples = [sample(hours, events=1_000 - hours) for hours in (30, 26, 24, 12, 1)]
    (events,) = room_of([*samples, sample(0, events=1_000)]).parts
    assert events.growth_bytes_a_day == 24


def test_of_less_than_a_day_it_is_what_a_day_would_bring():
    (events,) = room_of([sample(2, events=100), sample(0, events=200)]).parts
    assert events.growth_bytes_a_day == 1_200
    (events,) = room_of([sample(0.5, events=100), sample(0, events=200)]).parts
    assert events.growth_bytes_a_day is None


def test_of_what_was_not_measured_before_nothing_is_said():
    (events, new) = room_of([sample(24, events=100), sample(0, events=100, new=50)]).parts
    assert (events.growth_bytes_a_day, new.growth_bytes_a_day) == (0, None)


def test_a_disk_that_fills_has_a_day_on_which_it_is_full():
    room = room_of([sample(24, free=110 * GIB), sample(0, free=100 * GIB)])
    assert room.disks == (
        DiskRoom(
            folder="/data",
            free_bytes=100 * GIB,
            growth_bytes_a_day=10 * GIB,
            full_at=NOW + 10 * DAY_MS,
        ),
    )


def test_nothing_is_foreseen_of_a_disk_that_gets_emptier_or_of_a_few_hours_or_of_centuries():
    for before in (
        sample(24, free=90 * GIB),
        sample(5, free=110 * GIB),
        sample(24, free=100 * GIB + 1_000),
        Sample(at=NOW - DAY_MS, parts={}, free={"/elsewhere": GIB}),
    ):
        (disk,) = room_of([before, sample(0)]).disks
        assert disk.full_at is None
