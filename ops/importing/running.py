"""An import while the service runs: the service reads the file, and its writer takes the rows."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import msgspec

from bus.serving.administration import AdministrationVerb
from bus.writing.submission import Request
from bus.writing.writer import RETRY_AFTER_MS, Writer
from domain.credentials.scanning import AllowedPaths
from domain.errors import Busy, NotFound, RuleViolated, Unavailable
from ops.importing.destinations import answer, batch
from ops.importing.importer import ImportReport, import_all
from ops.importing.source import Source, SourceError, SourceMissingError

# How long a portion may take. It takes some tens of milliseconds, unless the disk has stopped.
ANSWER_SECONDS = 60.0
# How often a portion is offered to a busy writer: for a minute.
OFFERS = 600


class ImportFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The old system's database: a path on the service's machine."""

    path: str


class RunningImport:
    """Imports a file while the service runs; one at a time."""

    def __init__(self, writer: Writer, allowed: AllowedPaths) -> None:
        self._writer = writer
        self._allowed = allowed
        self._busy = asyncio.Lock()
        self.position = 0

    def verbs(self) -> tuple[AdministrationVerb, ...]:
        """The verbs that an operator can ask for."""
        return (AdministrationVerb(name="import.file", shape=ImportFile, carry_out=self._import),)

    async def _import(self, wish: ImportFile) -> ImportReport:
        async with self._busy:
            return await asyncio.to_thread(self._import_now, Path(wish.path))

    def _import_now(self, path: Path) -> ImportReport:
        self.position = self._writer.head.position
        try:
            source = Source(path)
            try:
                return import_all(source, self, allowed=self._allowed)
            finally:
                source.close()
        except SourceMissingError as error:
            raise NotFound(error.message) from error
        except SourceError as error:
            raise RuleViolated("not_importable", error.message, hint=error.hint) from error

    def take(self, requests: list[Request]) -> bytes:
        """The answer to these commands as a batch, once they are stored; in a thread that may wait."""
        done = threading.Event()
        submission = batch(requests, context=done)
        for _ in range(OFFERS):
            if not self._writer.submit([submission]) or not _is_busy(submission.outcome):
                break
            # Others come first between two offers: they did not bring a whole file.
            done.wait(RETRY_AFTER_MS / 1_000)
            submission.outcome = None
        if submission.outcome is None and not done.wait(ANSWER_SECONDS):
            raise Unavailable(f"the store was not written within {ANSWER_SECONDS:g} s", hint="try again")
        return answer(submission)


def _is_busy(outcome: Any) -> bool:
    return outcome is not None and isinstance(outcome.refusal, Busy)
