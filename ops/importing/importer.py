"""Importing all rows of an old file, portion by portion, and the report: `import_all`."""

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from bus.writing.submission import Request
from domain.credentials.scanning import AllowedPaths
from domain.errors import Invalid, Refusal
from domain.jobs.importing import OldAttempt
from ops.importing import commands
from ops.importing.commands import NotTaken, not_taken
from ops.importing.old_tables import APP_STATE, JOB_HISTORY, JOBS, OLD_TABLES, RATE_LIMITS, TOOL_CONFIGS
from ops.importing.source import Row, Source
from ops.progress import Progress, ignore_progress

# Limits of a portion, which is decided and committed together.
PORTION_ROWS = 500
PORTION_BYTES = 4 * 1024 * 1024
# How many rejected rows are listed: the list has to fit into memory, and into an answer. More are counted.
MAXIMUM_LISTED = 500


class Destination(Protocol):
    """A destination takes portions of commands. `position` is the last one of the log before the import."""

    @property
    def position(self) -> int: ...

    def take(self, requests: list[Request]) -> bytes:
        """The answer to these commands as a batch.

        Raises:
            Refusal: none of them is stored.
        """


class Counts(msgspec.Struct, kw_only=True):
    """The rows of one table: how many there are, and how many were imported, unchanged or not taken."""

    rows: int = 0
    imported: int = 0
    unchanged: int = 0
    not_taken: int = 0


class ImportReport(msgspec.Struct, kw_only=True):
    """The report of an import. `imported` rows are new here, `unchanged` ones were imported before.

    `not_taken` lists the first five hundred rows that were not imported, or have changed in the old system
    since.
    """

    dry_run: bool
    position: int
    tables: dict[str, Counts]
    not_taken: list[NotTaken]
    not_listed: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether every row was imported, now or before."""
        return not self.not_taken


class _Taken(msgspec.Struct, frozen=True):
    """The command of a row, and the number of rows of the history that are part of it."""

    table: str
    key: Any
    request: Request
    attempts: int = 0


class _Outcome(msgspec.Struct):
    position: int | None = None
    error: dict[str, Any] | None = None


class _Outcomes(msgspec.Struct):
    outcomes: list[_Outcome]


def import_all(
    source: Source,
    destination: Destination,
    *,
    allowed: AllowedPaths,
    dry_run: bool = False,
    progress: Progress = ignore_progress,
) -> ImportReport:
    """Imports all rows of an old file that can be imported.

    Raises:
        SourceError: the file is damaged, or was written to meanwhile.
        Refusal: the store cannot be written. Rows that were imported until then are stored, and the next
            import passes over them.
    """
    return _Importer(source, destination, allowed, dry_run=dry_run, progress=progress).run()


class _Importer:
    def __init__(
        self,
        source: Source,
        destination: Destination,
        allowed: AllowedPaths,
        *,
        dry_run: bool,
        progress: Progress,
    ) -> None:
        self._source = source
        self._destination = destination
        self._allowed = allowed
        self._progress = progress
        self._totals = {one.name: source.count(one) for one in OLD_TABLES}
        self._before = destination.position
        tables = {one.name: Counts() for one in OLD_TABLES if source.has(one)}
        self._report = ImportReport(dry_run=dry_run, position=self._before, tables=tables, not_taken=[])

    def run(self) -> ImportReport:
        portion: list[_Taken] = []
        size = 0
        for one in self._requests():
            portion.append(one)
            size += _weight(one.request)
            if len(portion) == PORTION_ROWS or size >= PORTION_BYTES:
                self._take(portion)
                portion, size = [], 0
        if portion:
            self._take(portion)
        self._source.require_unchanged()
        return self._report

    def _requests(self) -> Iterator[_Taken]:
        yield from self._jobs()
        for table in (RATE_LIMITS, TOOL_CONFIGS, APP_STATE):
            for row in self._rows(table):
                key = row[table.fields[0]]
                try:
                    yield _Taken(table.name, key, commands.REQUESTS[table.name](row))
                except Refusal as refusal:
                    self._reject(table.name, key, refusal)

    def _jobs(self) -> Iterator[_Taken]:
        """Each job with its attempts: both tables are read side by side, in the order of the jobs' ids."""
        history = self._rows(JOB_HISTORY)
        ahead = next(history, None)
        for row in self._rows(JOBS):
            here = self._source.order_key(row["id"])
            while ahead is not None and self._source.order_key(ahead["job_id"]) < here:
                self._reject_orphan(ahead)
                ahead = next(history, None)
            attempts: list[OldAttempt] = []
            number = 0
            while ahead is not None and self._source.order_key(ahead["job_id"]) == here:
                number += 1
                self._add_attempt(attempts, ahead, number)
                ahead = next(history, None)
            try:
                yield _Taken(JOBS.name, row["id"], commands.job_request(row, attempts), len(attempts))
            except Refusal as refusal:
                self._reject(JOBS.name, row["id"], refusal)
                self._reject_with_job(row["id"], len(attempts))
        while ahead is not None:
            self._reject_orphan(ahead)
            ahead = next(history, None)

    def _rows(self, table: Any) -> Iterator[Row]:
        counts = self._report.tables.get(table.name)
        for row in self._source.rows(table):
            assert counts is not None
            counts.rows += 1
            if counts.rows % PORTION_ROWS == 0:
                self._progress(table.name, counts.rows, self._totals[table.name])
            yield row

    def _add_attempt(self, attempts: list[OldAttempt], row: Row, number: int) -> None:
        try:
            attempts.append(commands.attempt(row, number, len(attempts), self._allowed))
        except Refusal as refusal:
            self._reject(JOB_HISTORY.name, _history_key(row), refusal)

    def _reject_orphan(self, row: Row) -> None:
        shown = commands.shown_key(row["job_id"])
        self._reject(JOB_HISTORY.name, _history_key(row), Invalid(f"there is no job {shown}", path="$"))

    def _take(self, portion: list[_Taken]) -> None:
        body = self._destination.take([one.request for one in portion])
        outcomes = msgspec.json.decode(body, type=_Outcomes).outcomes
        for one, outcome in zip(portion, outcomes, strict=True):
            if outcome.error is not None:
                self._reject_by_answer(one, outcome.error)
            elif outcome.position is not None and outcome.position > self._before:
                self._count(one, "imported")
                self._report.position = max(self._report.position, outcome.position)
            else:
                self._count(one, "unchanged")

    def _count(self, one: _Taken, what: str) -> None:
        counts = self._report.tables[one.table]
        setattr(counts, what, getattr(counts, what) + 1)
        if one.attempts:
            history = self._report.tables[JOB_HISTORY.name]
            setattr(history, what, getattr(history, what) + one.attempts)

    def _reject_by_answer(self, one: _Taken, error: dict[str, Any]) -> None:
        code, message, path = error["code"], error["message"], error["details"].get("path", "$")
        if code == "command_id_reused":
            code, message = "changed", "it was imported before, and has changed there since; here it has not"
        self._list(not_taken(one.table, one.key, code, message, path))
        self._reject_with_job(one.key, one.attempts)

    def _reject_with_job(self, job_id: Any, attempts: int) -> None:
        """Counts the attempts of a job that is not imported; the job itself is listed."""
        if attempts:
            self._report.tables[JOB_HISTORY.name].not_taken += attempts

    def _reject(self, table: str, key: Any, refusal: Refusal) -> None:
        path = refusal.details.get("path", "$")
        self._list(not_taken(table, key, refusal.code, refusal.message, path))

    def _list(self, one: NotTaken) -> None:
        self._report.tables[one.table].not_taken += 1
        if len(self._report.not_taken) < MAXIMUM_LISTED:
            self._report.not_taken.append(one)
        else:
            self._report.not_listed += 1


def _history_key(row: Row) -> Any:
    return row.get("id", row["job_id"])


def _weight(request: Request) -> int:
    # These fields make up most of a row's size.
    texts = (getattr(request.command, name, b"") for name in ("payload", "result", "value"))
    return 1_000 + sum(len(bytes(text)) for text in texts)
