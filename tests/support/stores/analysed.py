"""A store that gets commands at times that a test names, and the lake that is made from it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from ops.analytics.export.exporting import export
from ops.backup.create import create_backup
from tests.support.clock import HOUR_MS, Clock
from tests.support.stores.writing import Store


def ms(time: str) -> int:
    """Milliseconds since the epoch of a time, in UTC where it has no zone."""
    moment = datetime.fromisoformat(time)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


class History:
    """A store and its commands, from the moment `start` on."""

    def __init__(self, folder: Path, start: int) -> None:
        self.store = Store(folder / "hyperpage.db", Clock(start))
        self.folder = folder
        self.positions: dict[str, int] = {}

    def at(self, moment: int | str) -> "History":
        self.store.clock.now = ms(moment) if isinstance(moment, str) else moment
        return self

    def send(self, command: str, /, *, actor: str | None = None, **body: Any) -> Any:
        metadata = None if actor is None else msgspec.json.encode({"actor": actor}).decode()
        reply = self.store.send(command, body, metadata=metadata)
        assert reply.code is None, reply.said
        return reply.said

    def enqueue(self, job: str, kind: str, tool: str, **more: Any) -> None:
        self.send("jobs.enqueue", id=job, type=kind, name=job, tool=tool, **more)

    def claim(self, worker: str = "w", queue: str = "default") -> dict[str, Any]:
        [job] = self.send("jobs.claim", worker=worker, queue=queue, lease_ms=HOUR_MS)["result"]["jobs"]
        return {"id": job["id"], "lease": job["lease"]}

    def mark(self, name: str) -> None:
        self.positions[name] = self.store.writer.head.position

    def lake(self) -> Path:
        """A lake from a backup that is made now."""
        now = self.store.clock.now
        backup = create_backup(self.folder / "hyperpage.db", self.folder / "backups", version="0", now_ms=now)
        export([backup], self.folder / "lake", store_id=None)
        return self.folder / "lake"
