"""One query over a lake, and its result as rows, CSV, JSON, Parquet or a workbook: `ask`."""

import csv
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID

import msgspec

from ops.analytics.lake.columns import literal, quoted
from ops.analytics.lake.errors import AnalyticsError
from ops.analytics.lake.files import COMPRESSION, replaced
from ops.analytics.lake.session import Connection, connect

_FETCHED_ROWS = 10_000
# The error of a macro about a moment, with the hint in brackets.
_NOT_A_MOMENT = re.compile(
    r"Invalid Input Error: ((?:the lake does not know of|no moment of this history:) .*) \((.*)\)", re.DOTALL
)
# The column `by` of the macros, whose name is a keyword of SQL: not the `by` of GROUP BY and the like.
_BARE_BY = re.compile(r"(?<!group )(?<!order )(?<!partition )\bby\b", re.IGNORECASE)
_WORD_OF_SQL = 'by is a word of SQL: as the name of a column, it is written "by", with the quotes'
_LOOK = "nothing was changed: `hyperpage analytics sql 'SHOW TABLES'` and 'DESCRIBE …' say what there is"
_EXPLAIN = re.compile(r"\s*explain\s+(analyze\s+)?(\([^)]*\)\s*)?", re.IGNORECASE)


class QueryResult:
    """The result of a query: the names of its columns, each once, and its rows, to be read once."""

    def __init__(self, result: Connection) -> None:
        self._result = result
        self.columns = _distinct([name for name, *_ in result.description or ()])

    def rows(self) -> Iterator[list[Any]]:
        """The rows as values of JSON, read a portion at a time."""
        with explained():
            while portion := self._result.fetchmany(_FETCHED_ROWS):
                for row in portion:
                    yield [plain(value) for value in row]

    def records(self) -> Iterator[dict[str, Any]]:
        """The rows as objects."""
        for row in self.rows():
            yield dict(zip(self.columns, row, strict=True))

    def write_json(self, out: TextIO) -> None:
        """Writes the rows as an array of objects, one on each line."""
        encode = msgspec.json.Encoder().encode
        separator = "["
        for record in self.records():
            out.write(f"{separator}{encode(record).decode()}")
            separator = ",\n"
        out.write("[]\n" if separator == "[" else "]\n")

    def write_csv(self, out: TextIO) -> None:
        """Writes the rows as CSV, after a line with the names of the columns; NULL is an empty value."""
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        for row in self.rows():
            writer.writerow([_cell(value) for value in row])

    def write_parquet(self, path: Path) -> None:
        """Writes the rows as a Parquet file, in place of an existing one."""
        # DuckDB may not write files in a confined session, so pyarrow writes this one.
        from pyarrow.parquet import ParquetWriter

        with explained(), replaced(path) as temporary, warnings.catch_warnings():
            # DuckDB warns that it copies the rows once more.
            warnings.simplefilter("ignore", UserWarning)
            reader: Any = self._result.to_arrow_reader(_FETCHED_ROWS)
            schema = reader.schema
            for place, name in enumerate(self.columns):
                schema = schema.set(place, schema.field(place).with_name(name))
            with ParquetWriter(temporary, schema, compression=COMPRESSION) as writer:
                for batch in reader:
                    writer.write_batch(batch.rename_columns(self.columns))


def ask(lake: Path, query: str, *, snapshot: str | None = None, time_zone: str | None = None) -> QueryResult:
    """The result of one query, which can read the lake and nothing else, and write nothing.

    Raises:
        AnalyticsError: it is no query, or has an error: the message points at the place.
    """
    connection = connect(lake, snapshot=snapshot, time_zone=time_zone, confined=True)
    with explained():
        _require_query(query)
        return QueryResult(connection.execute(query))


def write_workbook(
    lake: Path, query: str, path: Path, *, snapshot: str | None = None, time_zone: str | None = None
) -> None:
    """Writes the result of such a query as a sheet for Excel (.xlsx), in place of an existing file.

    Times with a zone are written as texts, since a sheet has no time zones.

    Raises:
        AnalyticsError: as for `ask`; or DuckDB's extension `excel` is not installed, or there are too many
            rows.
    """
    with (
        replaced(path) as temporary,
        closing(
            connect(
                lake,
                snapshot=snapshot,
                time_zone=time_zone,
                confined=True,
                writing=[temporary],
                extension="excel",
            )
        ) as connection,
        explained(),
    ):
        _require_query(query)
        [statement] = statements_in(query)
        described = connection.execute(f"DESCRIBE ({statement}\n)").fetchall()
        zoned = [name for name, kind, *_ in described if kind.endswith("WITH TIME ZONE")]
        texts = ", ".join(f"CAST({quoted(name)} AS VARCHAR) AS {quoted(name)}" for name in zoned)
        columns = f"* REPLACE ({texts})" if zoned else "*"
        connection.execute(
            f"COPY (SELECT {columns} FROM ({statement}\n)) TO {literal(temporary)} (FORMAT xlsx, HEADER true)"
        )


def statements_in(text: str) -> list[str]:
    """The statements of a text, one by one.

    Raises:
        duckdb.Error: it cannot be read as SQL.
    """
    import duckdb

    return [one.query for one in duckdb.extract_statements(text)]


def plain(value: Any) -> Any:
    """A value of DuckDB as a value of JSON: times in ISO 8601, bytes in hexadecimal."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return value.hex()
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case timedelta() | UUID():
            return str(value)
        case dict():
            return {str(name): plain(inner) for name, inner in value.items()}
        case list() | tuple() | set():
            return [plain(inner) for inner in value]
        case _:
            return str(value)


def _require_query(query: str) -> None:

    import duckdb

    # EXPLAIN ANALYZE carries its statement out, so that must be a query, too.
    statements = duckdb.extract_statements(_EXPLAIN.sub("", query, count=1))
    kinds = [one.type for one in statements]
    if kinds != [duckdb.StatementType.SELECT]:
        said = ", ".join(kind.name for kind in kinds) or "nothing"
        raise AnalyticsError(
            "not_a_query",
            f"one query that reads is needed (SELECT, FROM, SHOW, DESCRIBE, SUMMARIZE, EXPLAIN), not {said}",
            "`hyperpage analytics shell` and ops.analytics.connect() take any statement",
        )


@contextmanager
def explained() -> Iterator[None]:
    """Turns DuckDB's errors into an AnalyticsError, with the place in the query."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        if refused := _NOT_A_MOMENT.fullmatch(str(error).strip()):
            raise AnalyticsError("not_a_moment", refused[1], refused[2]) from error
        said = str(error).strip()
        hint = _WORD_OF_SQL if isinstance(error, duckdb.ParserException) and _BARE_BY.search(said) else _LOOK
        raise AnalyticsError("query_failed", said, hint) from error


def _distinct(names: Sequence[str]) -> list[str]:
    """The names of columns; a repeated name gets a number."""
    found: dict[str, None] = {}
    for name in names:
        candidate, number = name, 0
        while candidate in found:
            number += 1
            candidate = f"{name}_{number}"
        found[candidate] = None
    return list(found)


def _cell(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value
