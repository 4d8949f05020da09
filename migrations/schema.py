"""`require_own_schema`: checks that a file has the schema that its migrations make, and nothing else.

A file from elsewhere may bring triggers, views, constraints, generated columns or indexes, which SQLite would
apply with every command from then on. So all of `sqlite_schema` is compared, as text, with that of a new file
to which the same migrations were applied, up to the last one that the file records.
"""

from collections import Counter
from contextlib import closing
from functools import lru_cache
from itertools import takewhile

import apsw
import msgspec

from migrations import aggregate_tables, runner
from migrations.aggregate_tables import AggregateTable
from migrations.connection import open_memory
from migrations.runner import Migration, MigrationError

# The most differences that are named, and the most characters of a name or a definition.
MAXIMUM_NAMED = 5
MAXIMUM_CHARACTERS = 80
# The limit for the header's count of repairs, and for the last number of a migration. Both are small; one
# near the largest integer would make a later write fail.
MAXIMUM_COUNT = 2**30

_RECORDS = "schema_migrations"
_SEQUENCE = "sqlite_sequence"
# As bytes, since a forged text need not be UTF-8. The types are read, too, since SQLite accepts a BLOB in
# place of a text here.
_OBJECTS = (
    "SELECT CAST(type AS BLOB), CAST(name AS BLOB), CAST(tbl_name AS BLOB), CAST(sql AS BLOB),"
    " typeof(type) || ' ' || typeof(name) || ' ' || typeof(tbl_name) || ' ' || typeof(sql) || ' ' ||"
    " iif(typeof(rootpage) = 'integer', rootpage > 0, 'none') FROM sqlite_schema"
)


class SchemaDiffersError(MigrationError):
    """The file has another schema than its migrations make; `differences` names the objects."""

    def __init__(self, name: str, differences: list[str]) -> None:
        named = "; ".join(differences[:MAXIMUM_NAMED])
        more = len(differences) - MAXIMUM_NAMED
        super().__init__(
            f"{name} has a schema that is not this program's: {named}"
            + (f"; and {more} more" if more > 0 else ""),
            "somebody has changed the file: restore a backup from before (`hyperpage backup restore`), or, if"
            " you know what it is and made it yourself, take it back with a program for SQLite",
        )
        self.differences = differences


class _Object(msgspec.Struct, frozen=True):
    """A row of `sqlite_schema`; `kinds` are its columns' types, and whether it has pages of its own."""

    type: bytes | None
    name: bytes | None
    table: bytes | None
    sql: bytes | None
    kinds: str

    def __str__(self) -> str:
        on = "" if self.table in (self.name, None) else f" on {_shown(self.table)}"
        return f"{_shown(self.type)} {_shown(self.name)}{on}"

    @property
    def rank(self) -> tuple[int, str]:
        """The sort key of the object: triggers and views, which act by themselves, first; indexes last."""
        kinds = (b"trigger", b"view", b"table")
        return kinds.index(self.type) if self.type in kinds else len(kinds), str(self)

    @property
    def key(self) -> tuple[bytes | None, bytes | None]:
        return self.type, self.name


def require_own_schema(
    connection: apsw.Connection, name: str, known: tuple[Migration, ...] | None = None
) -> None:
    """Returns if a file has exactly the schema that its migrations make. An empty file is right.

    Nothing but the schema is read before it is found to be right. `name` is the file's.

    Raises:
        SchemaDiffersError: the schema differs.
        MigrationError: the file's migrations are another program's, or were edited.
        apsw.Error: the file is not a sound SQLite file.
    """
    if found := schema_differences(connection, known):
        raise SchemaDiffersError(name, found)


def schema_differences(connection: apsw.Connection, known: tuple[Migration, ...] | None = None) -> list[str]:
    """The differences to the schema that the migrations make, in words: changed, missing and extra objects.

    Raises:
        MigrationError: the migrations are another program's, or were edited.
        apsw.Error: the file is not a sound SQLite file.
    """
    known = runner.known_migrations() if known is None else known
    # The encoding is set once, when a file is made. In another encoding, the same texts have other bytes.
    if (encoding := connection.pragma("encoding")) != "UTF-8":
        return [f"its texts are in {encoding}, not in UTF-8"]
    found = Counter(_Object(*row) for row in connection.execute(_OBJECTS))
    applied = _applied(connection, found, known)
    if applied != tuple(one.name for one in known[: len(applied)]):
        return [f"its records of migrations have a gap: {', '.join(applied)}"]
    try:
        expected = _made_by(
            known[: len(applied)], _aggregate_tables(connection, found, known[: len(applied)])
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, apsw.Error):
        return [f"its table {aggregate_tables.RECORDS} has what this program did not write"]
    differing = [*_differing(found, expected)]
    return differing or [*_wrong_counts(connection, len(applied))]


@lru_cache(maxsize=16)
def _made_by(
    migrations: tuple[Migration, ...], tables: tuple[AggregateTable, ...] = ()
) -> frozenset[_Object]:
    with closing(open_memory()) as connection:
        if migrations:
            runner.up(connection, migrations)
        for table in tables:
            for statement in table.statements():
                connection.execute(statement)
        return frozenset(_Object(*row) for row in connection.execute(_OBJECTS))


def _aggregate_tables(
    connection: apsw.Connection, found: Counter[_Object], applied: tuple[Migration, ...]
) -> tuple[AggregateTable, ...]:
    """The tables of aggregates that a file records; none if its table of records is not as we make it."""
    records = {one for one in _made_by(applied) if one.name == aggregate_tables.RECORDS.encode()}
    if not records or not records <= found.keys():
        return ()
    return tuple(aggregate_tables.recorded_tables(connection).values())


def _applied(
    connection: apsw.Connection, found: Counter[_Object], known: tuple[Migration, ...]
) -> tuple[str, ...]:
    """The names of the migrations that a file records; none if it has no table of these records.

    If the table has another definition than ours, all known names, so that the comparison shows it.
    """
    records = next((one for one in _made_by(known) if one.name == _RECORDS.encode()), None)
    if records not in found:
        # An object with that name may be anything, such as an endless view, so it is not read.
        runner.require_checksums(connection)
        pretends = any((one.name or b"").lower() == _RECORDS.encode() for one in found)
        return tuple(one.name for one in known) if pretends else ()
    return tuple(one.name for one in runner.status(connection, known) if one.applied)


def _differing(found: Counter[_Object], expected: frozenset[_Object]) -> list[str]:
    right = {one.key: one for one in expected}
    differing = []
    # If all migrations were reverted, SQLite's own table of numbers stays behind.
    left_behind = _made_sequence() if not expected else None
    for one in sorted(found, key=lambda one: one.rank):
        if one in expected or one == left_behind:
            if found[one] > 1:
                differing.append(f"{one} is there {found[one]} times")
        elif one.key in right:
            differing.append(f"{one} is not defined as it should be: {_where(one.sql, right[one.key].sql)}")
        else:
            differing.append(f"{one} does not belong there")
    present = {one.key for one in found}
    missing = sorted((one for one in expected if one.key not in present), key=lambda one: one.rank)
    differing += [f"{one} is missing" for one in missing]
    return differing


@lru_cache(maxsize=1)
def _made_sequence() -> _Object:
    with closing(open_memory()) as connection:
        connection.execute("CREATE TABLE one (id INTEGER PRIMARY KEY AUTOINCREMENT)")
        rows = connection.execute(f"{_OBJECTS} WHERE name = ?", (_SEQUENCE,))
        return _Object(*next(iter(rows)))


def _where(found: bytes | None, expected: bytes | None) -> str:
    """The texts of two definitions from the first difference on."""
    if found is None or expected is None or found == expected:
        return "its row of sqlite_schema"
    same = len([*takewhile(lambda pair: pair[0] == pair[1], zip(found, expected, strict=False))])
    # Goes back to the beginning of the word.
    start = max(found.rfind(b" ", 0, same), found.rfind(b"\n", 0, same)) + 1
    return f"{_shown(found[start:]) or 'it ends'} in place of {_shown(expected[start:]) or 'its end'}"


def _wrong_counts(connection: apsw.Connection, applied: int) -> list[str]:
    """The faults of the numbers in the file: `application_id`, `user_version`, and the last migration's."""
    wrong = []
    if connection.pragma("application_id") != 0:
        wrong.append(f"its application_id is {connection.pragma('application_id')}, not 0")
    if not 0 <= connection.pragma("user_version") < MAXIMUM_COUNT:
        wrong.append(f"its user_version is {connection.pragma('user_version')}")
    if applied:
        numbers = connection.execute(f"SELECT name, seq FROM {_SEQUENCE} LIMIT 2").fetchall()
        last = connection.execute(f"SELECT max(id) FROM {_RECORDS}").get
        names = [name for name, _ in numbers]
        if names != [_RECORDS] or not all(
            isinstance(number, int) and last <= number < MAXIMUM_COUNT for _, number in numbers
        ):
            wrong.append(f"its {_SEQUENCE} is not as migrations leave it")
    return wrong


def _shown(text: bytes | None) -> str:
    """The beginning of a text, made safe for one line of a terminal, as it may be forged."""
    if text is None:
        return "NULL"
    start = text[: 4 * MAXIMUM_CHARACTERS].decode(errors="replace")
    words = " ".join("".join(one if one.isprintable() else " " for one in start).split())
    return words if len(words) <= MAXIMUM_CHARACTERS else words[: MAXIMUM_CHARACTERS - 1] + "…"
