"""Aggregates of other distributions: the installed ones, and the tables of those that are not installed."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw

from bus.log.damage import Damage
from domain.catalogue import INSTALLED
from domain.counting import counted
from migrations.connection import open_reader
from ops.health.access import Note
from projections.installed_tables import MAXIMUM_COUNTED, KeptTable, kept_without_aggregate

# At most this many tables get a note each; of the others, the number is noted.
MAXIMUM_NOTES = 10
_HINT = "nothing is lost: install the package that brings it, and they are served again"


def installed_figures() -> list[dict[str, Any]]:
    """The tables of installed aggregates, each with its source, as `shop.basket (shop 1.0)`."""
    return [{"table": one.decider.table, "source": one.source} for one in INSTALLED]


class KeptTables:
    """The tables that a store's file keeps of aggregates that are not installed."""

    def __init__(self, path: Path, damage: Damage) -> None:
        self._path = path
        self._damage = damage
        self._found: tuple[KeptTable, ...] = ()

    def look(self) -> None:
        """Reads the tables once: they do not change while a service runs, since it does not serve them."""
        try:
            with closing(open_reader(self._path, cache_kib=256)) as connection:
                self._found = tuple(kept_without_aggregate(connection))
        except (apsw.Error, OSError) as error:
            # The health's looks at the store report the error.
            self._damage.note(error, "a look at the tables of aggregates")

    @property
    def notes(self) -> Iterator[Note]:
        """A note for each table, and one for the number of those that are too many."""
        for one in self._found[:MAXIMUM_NOTES]:
            yield Note("aggregate_away", said_of(one), _HINT, wants_doing=False)
        if (others := len(self._found) - MAXIMUM_NOTES) > 0:
            yield Note(
                "aggregate_away", f"so it is with {counted(others, 'table')} more", _HINT, wants_doing=False
            )


def said_of(kept: KeptTable) -> str:
    """How many rows and events of a table are kept, in a sentence."""
    rows, events = _many(kept.rows, "row"), _many(kept.events, "event")
    return f"{kept.table}: {rows} and {events} are kept; its aggregate is not installed"


def _many(number: int, what: str) -> str:
    if number > MAXIMUM_COUNTED:
        return f"more than {MAXIMUM_COUNTED:,} {what}s"
    return counted(number, what)
