"""A queue of one test in a store that many tests share, with a short method for each act on it."""

from typing import Any

import apsw

from tests.support.stores.writing import Reply, Sent, Store


class OneQueue:
    """Jobs by short ids: their full ids, and their keys, begin with the name of the queue.

    A job without a type gets the queue's own. `said` is the last claim's result without its jobs.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name
        self.said: dict[str, Any] = {}
        self._leases: dict[str, str] = {}

    @property
    def now(self) -> int:
        return self.store.clock.now

    def later(self, ms: int) -> None:
        """Lets time pass."""
        self.store.clock.now += ms

    def enqueueing(self, job: str, **body: Any) -> Sent:
        """The command that enqueues a job."""
        said = {"type": self.name, "queue": self.name} | {name: self._own(name, body[name]) for name in body}
        return Sent("jobs.enqueue", said | {"id": self._long(job)})

    def enqueue(self, job: str, **body: Any) -> str:
        """Enqueues a job; returns its id, or that of a job that was there already."""
        [reply] = self.store.send_together(self.enqueueing(job, **body))
        assert reply.code is None, reply.said
        return self.existing(reply) or job

    def existing(self, reply: Reply | dict[str, Any]) -> str | None:
        """The job that was there already, as the answer to an enqueueing names it."""
        result = reply["result"]
        return self._short(result["existing"]) if result else None

    def limit(self, **limits: Any) -> None:
        """Gives the queue these limits, and takes all others away."""
        assert self.store.send("jobs.limit_queue", {"queue": self.name} | limits).code is None

    def claim(self, limit: int = 10, **body: Any) -> list[str]:
        """The ids of the jobs that a worker gets."""
        reply = self.store.send("jobs.claim", {"worker": "w", "queue": self.name, "limit": limit} | body)
        assert reply.code is None, reply.said
        self.said = dict(reply["result"])
        jobs = [(self._short(job["id"]), job["lease"]) for job in self.said.pop("jobs")]
        self._leases |= dict(jobs)
        return [job for job, _ in jobs]

    def end(self, job: str, verb: str = "complete", **body: Any) -> None:
        """Ends a job, as the worker that has its lease."""
        reply = self.send(verb, job, lease=self._leases[job], **body)
        assert reply.code is None, reply.said

    def send(self, verb: str, job: str, **body: Any) -> Reply:
        """The answer to a verb for a job, which may be one of the service's own."""
        return self.store.send(f"jobs.{verb}", {"id": self._long(job)} | body)

    def row(self, job: str) -> dict[str, Any]:
        """The row of a job, as its table has it."""

        def read(connection: apsw.Connection) -> dict[str, Any]:
            names = [column[1] for column in connection.execute("PRAGMA table_info(jobs)")]
            [row] = connection.execute("SELECT * FROM jobs WHERE id = ?", (self._long(job),))
            return dict(zip(names, row, strict=True))

        found: dict[str, Any] = self.store.in_writer(read)
        return found

    def state(self, job: str) -> str:
        return str(self.row(job)["state"])

    def _long(self, job: str) -> str:
        return f"{self.name}-{job}"

    def _short(self, job: str) -> str:
        return job.removeprefix(f"{self.name}-")

    def _own(self, field: str, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("key"), str):
            return value | {"key": self._long(value["key"])}
        return [self._long(one) for one in value] if field == "depends_on" else value
