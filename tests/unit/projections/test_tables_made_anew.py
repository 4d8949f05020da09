"""Checks before the table of an installed aggregate is rebuilt, and the advice for its author on failure."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import msgspec
import pytest

from domain.catalogue import UnknownEventTypeError
from domain.installed.error import AggregateError
from domain.installed.library import adapted
from projections.installed_tables import require_room, what_to_do
from projections.rebuild import FoldError
from tests.support.domain.brought.dogs import Dog
from tests.support.domain.doors import Opened, door

DOORS = door(
    events={"door.opened.v2": Opened},
    upcasters={"door.opened.v1": ("door.opened.v2", dict)},
)
DOGS = adapted(Dog, table="dogs").decider
CHANGED = msgspec.ValidationError("Object missing required field `by`")
UNKNOWN = UnknownEventTypeError("the log holds an event that this program does not know")


@pytest.mark.parametrize(
    ("decider", "type_name", "cause", "said"),
    [
        (DOORS, "door.opened.v2", CHANGED, "(door.opened.v3) and the decider an upcaster from door"),
        (DOORS, "door.opened.v1", CHANGED, "mend the upcasters: what comes of it is no door.opened.v2"),
        (DOORS, "door.opened.v3", UNKNOWN, "a later version of the package wrote it, with a v3 of door"),
        (DOORS, "door.shut.v1", UNKNOWN, "the decider's `events` goes on having door.shut.v1"),
        (DOORS, "door.opened.v2", KeyError("who"), "`evolve` goes on taking it"),
        (DOGS, "dog.trick_added.v1", CHANGED, "`class_version = 2` and a static method upcast_v1_v2("),
        (DOGS, "dog.trick_added.v2", UNKNOWN, "a later version of the package wrote it, with a v2 of dog"),
        (DOGS, "dog.barked.v1", UNKNOWN, "the class goes on having dog.barked.v1"),
        (DOGS, "dog.trick_added.v1", KeyError("who"), "its `apply`, or the method that it is of, goes on"),
    ],
)
def test_an_author_is_told_what_to_do_in_the_words_of_the_style(decider, type_name, cause, said):
    error = FoldError(cause, 1, type_name)
    error.__cause__ = cause

    assert said in what_to_do(decider, error, is_class=decider is DOGS)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[apsw.Connection]:
    """A file with 1,000 bytes of events of doors, and more of others."""
    with closing(apsw.Connection(str(tmp_path / "hyperpage.db"))) as connection:
        connection.execute("CREATE TABLE events (stream TEXT, data TEXT)")
        rows = [("doors/a", "x" * 600), ("doors/b", "y" * 400), ("gates/a", "z" * 9_000)]
        connection.executemany("INSERT INTO events VALUES (?, ?)", rows)
        yield connection


def test_without_room_a_table_is_not_even_begun(log: apsw.Connection):
    require_room(log, "doors", "house.doors", lambda path: 2_000)

    with pytest.raises(AggregateError, match=r"may take 2000 bytes beside .*, and 1999 are free") as refused:
        require_room(log, "doors", "house.doors", lambda path: 1_999)
    assert "make room" in refused.value.hint
