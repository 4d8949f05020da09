"""Suspects: the durable commands that were being decided when the service crashed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bus.serving.durable.suspects import Place, Suspects

STREAM = 1_700_000_000_000
STORED_NS = STREAM * 1_000_000


@contextmanager
def started(folder: Path) -> Iterator[Suspects]:
    """A start of the service, which goes down at the end of the block, however it ends."""
    suspects = Suspects(folder)
    yield suspects
    suspects.close()


def places(*sequences: int, stored_ns: int = STORED_NS) -> list[Place]:
    return [(one, stored_ns + one) for one in sequences]


def downs(folder: Path, *sequences: int, stream: int = STREAM, stored_ns: int = STORED_NS) -> list[int]:
    with started(folder) as suspects:
        return [suspects.downs(stream, one) for one in places(*sequences, stored_ns=stored_ns)]


def test_those_that_were_marked_are_counted_at_the_next_start(tmp_path: Path):
    with started(tmp_path) as suspects:
        suspects.mark(STREAM, places(1, 2, 3))
        suspects.mark(STREAM, places(4, 5))

    assert downs(tmp_path, 3, 4, 5, 6) == [0, 1, 1, 0]


def test_a_start_that_marks_none_counts_none_again(tmp_path: Path):
    with started(tmp_path) as suspects:
        suspects.mark(STREAM, places(4))

    assert [downs(tmp_path, 4), downs(tmp_path, 4), downs(tmp_path, 4)] == [[1], [1], [1]]


def test_one_that_goes_down_twice_is_told_from_its_neighbours(tmp_path: Path):
    with started(tmp_path) as suspects:
        suspects.mark(STREAM, places(*range(1, 500)))
    with started(tmp_path) as suspects:
        for sequence in range(1, 100):
            suspects.mark(STREAM, places(sequence), synced=True)
            suspects.decided(STREAM, *places(sequence))
        suspects.mark(STREAM, places(100), synced=True)

    # Commands that were decided do not count as suspects, should they come again.
    assert downs(tmp_path, 99, 100, 101) == [1, 2, 1]


def test_when_all_suspects_are_decided_none_is_left(tmp_path: Path):
    with started(tmp_path) as suspects:
        suspects.mark(STREAM, places(1, 2))
    with started(tmp_path) as suspects:
        suspects.decided(STREAM, *places(1))
        suspects.decided(STREAM, *places(2))
        suspects.clear()

    assert downs(tmp_path, 1, 2) == [0, 0]


def test_a_mark_that_was_cleared_counts_for_nobody(tmp_path: Path):
    with started(tmp_path) as suspects:
        suspects.mark(STREAM, places(*range(1_000)))
        suspects.clear()

    assert downs(tmp_path, 0, 999) == [0, 0]


def test_sequences_of_another_stream_are_others(tmp_path: Path):
    with started(tmp_path) as suspects:
        suspects.mark(STREAM, places(1, 2))
    assert downs(tmp_path, 1, stream=STREAM + 1) == [0]
    with started(tmp_path) as suspects:
        suspects.mark(STREAM + 1, places(2))

    assert downs(tmp_path, 1, 2, stream=STREAM + 1) == [0, 1]
    assert downs(tmp_path, 1, 2) == [0, 0]


def test_sequences_that_a_broker_gives_again_are_others(tmp_path: Path):
    with started(tmp_path) as suspects:
        suspects.mark(STREAM, places(1, 2))

    assert downs(tmp_path, 1, 2, stored_ns=STORED_NS + 1_000) == [0, 0]
    assert downs(tmp_path, 1, 2) == [1, 1]


def test_those_that_the_stream_no_longer_has_are_forgotten(tmp_path: Path):
    with started(tmp_path) as suspects:
        suspects.mark(STREAM, places(1, 2, 3))
    with started(tmp_path) as suspects:
        suspects.forget_before(STREAM, 3)
        assert suspects.count == 1
        assert suspects.downs(STREAM, *places(3)) == 1


def test_a_mark_that_is_cut_off_or_damaged_is_none(tmp_path: Path):
    for damage in (b"", b'{"id":"x","stream":1,"sequ', b"[]\n", b"\xff\n", b"\0" * 5_000):
        with started(tmp_path) as suspects:
            suspects.mark(STREAM, places(7))
        (tmp_path / "deciding").write_bytes(damage)
        assert downs(tmp_path, 7) == [0]


def test_a_start_that_ends_while_it_counts_counts_once(tmp_path: Path):
    with started(tmp_path) as suspects:
        suspects.mark(STREAM, places(7))
    mark = (tmp_path / "deciding").read_bytes()
    assert downs(tmp_path, 7) == [1]
    # As if the start had ended between writing the two files.
    (tmp_path / "deciding").write_bytes(mark)

    assert downs(tmp_path, 7) == [1]


@pytest.mark.parametrize(
    "content",
    [b"\xff\n", b'{"id":"\xba"}\n', b"\0" * 512 + b"\n", b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"\n"],
    ids=["no UTF-8", "no UTF-8 in a text", "zeros", "too deep"],
)
@pytest.mark.parametrize("name", ["deciding", "counts.json"])
def test_a_file_that_a_power_cut_has_damaged_is_passed_over(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)

    assert downs(tmp_path, 1, 2) == [0, 0]
    with started(tmp_path) as suspects:
        suspects.mark(STREAM, places(1))
    assert downs(tmp_path, 1) == [1]
