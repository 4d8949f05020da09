"""Verifies and rebuilds the projections, of a running service or of a stopped service's file."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Literal

import msgspec

from bus.serving.administration import AdministrationVerb, NoArguments
from bus.writing.writer import Writer
from hyperpage_client.tasks import settle
from migrations.connection import open_reader, open_writer, write_transaction
from migrations.schema import require_own_schema
from projections import comparison, rebuild
from projections.rebuild import Progress, RebuildReport

# The number of streams repaired in one transaction, for which commands wait some tens of milliseconds.
STREAMS_AT_ONCE = 500


class Check(msgspec.Struct, kw_only=True):
    """A verification or a rebuild, under way or ended; times in milliseconds since the epoch.

    `answer` has its findings, or `problem` the reason why it failed.
    """

    verb: Literal["verify", "rebuild"]
    began_at: int
    progress: Progress = msgspec.field(default_factory=Progress)
    ended_at: int | None = None
    answer: dict[str, Any] | None = None
    problem: str | None = None


class ProjectionsCheck:
    """Verifies and rebuilds while the service runs. `last` is the check under way, or else the last one."""

    def __init__(self, path: Path, writer: Writer, now_ms: Callable[[], int]) -> None:
        self._path = path
        self._writer = writer
        self._now_ms = now_ms
        # One check at a time: while a check reads, the WAL cannot be reset.
        self._busy = asyncio.Lock()
        self.last: Check | None = None

    def verbs(self) -> tuple[AdministrationVerb, ...]:
        """The verbs that an operator can ask for."""
        return (
            AdministrationVerb(name="projections.verify", shape=NoArguments, carry_out=self._verify),
            AdministrationVerb(name="projections.rebuild", shape=NoArguments, carry_out=self._rebuild),
        )

    async def _verify(self, _: NoArguments) -> dict[str, Any]:
        async def work(progress: Progress) -> dict[str, Any]:
            with scratch_beside(self._path) as scratch:
                return as_answer(await asyncio.to_thread(_report, self._path, scratch, progress))

        return await self._noted("verify", work)

    async def _rebuild(self, _: NoArguments) -> dict[str, Any]:
        async def work(progress: Progress) -> dict[str, Any]:
            with scratch_beside(self._path) as scratch:
                report = await asyncio.to_thread(_report, self._path, scratch, progress)
                for portion in portions(report.streams):
                    await self._in_writer(
                        lambda connection, portion=portion: rebuild.repair(connection, portion, scratch)
                    )
            await self._in_writer(lambda connection: comparison.remove(connection, report.strays))
            await self._in_writer(lambda _: self._writer.reload())
            return _as_answer_of_rebuild(report)

        return await self._noted("rebuild", work)

    async def _noted(
        self, verb: Literal["verify", "rebuild"], work: Callable[[Progress], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any]:
        async with self._busy:
            self.last = check = Check(verb=verb, began_at=self._now_ms())
            try:
                check.answer = await work(check.progress)
                return check.answer
            except BaseException as error:
                check.problem = str(error) or type(error).__name__
                raise
            finally:
                check.ended_at = self._now_ms()

    async def _in_writer(self, errand: Any) -> Any:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def hand_over(result: Any) -> None:
            loop.call_soon_threadsafe(settle, done, result)

        self._writer.call(errand, hand_over)
        result = await done
        if isinstance(result, Exception):
            raise result
        return result


def verify(path: Path) -> dict[str, Any]:
    """The result of comparing the tables of a store's file with its log."""
    with scratch_beside(path) as scratch:
        return as_answer(_report(path, scratch))


def rebuild_file(path: Path) -> dict[str, Any]:
    """Compares the tables of a stopped service's file with its log, and repairs rows that differ.

    Raises:
        SchemaDiffersError: the file has something that its migrations did not make.
    """
    with closing(open_writer(path)) as connection, scratch_beside(path) as scratch:
        require_own_schema(connection, path.name)
        report = _report(path, scratch)
        for portion in portions(report.streams):
            with write_transaction(connection):
                rebuild.repair(connection, portion, scratch)
        with write_transaction(connection):
            comparison.remove(connection, report.strays)
    return _as_answer_of_rebuild(report)


def as_answer(report: RebuildReport) -> dict[str, Any]:
    """A report in the form of an answer."""
    answer = {
        "equal": report.equal,
        "position": report.position,
        "tables": msgspec.to_builtins(report.tables),
    }
    return answer | ({"left_out": report.left_out} if report.left_out else {})


def _as_answer_of_rebuild(report: RebuildReport) -> dict[str, Any]:
    return as_answer(report) | {"rebuilt_streams": len(report.streams), "removed_rows": len(report.strays)}


@contextmanager
def scratch_beside(path: Path) -> Iterator[Path]:
    """A temporary file beside a store, for the length of the block."""
    # Beside the store: the system's temporary folder may be small, or in memory.
    with NamedTemporaryFile(prefix="projections-", suffix=".scratch", dir=path.parent) as scratch:
        yield Path(scratch.name)


def _report(path: Path, scratch: Path, progress: Progress | None = None) -> RebuildReport:
    with closing(open_reader(path)) as connection:
        return rebuild.verify(connection, scratch, progress)


def portions(streams: Iterable[str]) -> Iterator[list[str]]:
    """The streams in portions, each of which is repaired in one transaction."""
    remaining = iter(streams)
    while portion := list(islice(remaining, STREAMS_AT_ONCE)):
        yield portion
