"""The Services API (NATS ADR-32): `nats micro ls`, `info` and `stats` show what the service offers.

nats-py's helper is not used: it runs one handler at a time for each endpoint, each on a subscription of its
own (so a client's commands could overtake each other), and sends the text of exceptions to callers.

`$SRV.STATUS` is an addition to that API: its answer is the status of the service. Where several services
serve one prefix, any of them answers a query, but this is answered by the one that is named, or by all.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from bus.contract import codec
from bus.contract.senders import UserSubjects
from bus.measures import Histogram
from domain.errors import Refusal
from hyperpage_client.identifiers import new_id

SERVICE_NAME = "hyperpage-persistence"
QUEUE_GROUP = "hyperpage"


def status_subject(instance: str) -> str:
    """The subject on which one instance is asked for its status."""
    return f"$SRV.STATUS.{SERVICE_NAME}.{instance}"


class Endpoint(msgspec.Struct, eq=False):
    """One subject that is served, with counts and times of its requests. Fields `_ns` are in nanoseconds."""

    name: str
    subject: str
    schema: Callable[[], Mapping[str, Any]] = dict
    """Makes the JSON Schema of a request. All of them take as long as a tenth of a start."""
    requests: int = 0
    errors: int = 0
    last_error: str = ""
    processing_ns: int = 0
    durations: Histogram = msgspec.field(default_factory=Histogram)
    """In seconds, from the arrival of the request to its answer."""
    refusals: dict[str, int] = {}
    """How many were refused, by the code."""

    def count(self, took_ns: int, refusal: Refusal | None) -> None:
        """Notes one answered request."""
        self.requests += 1
        self.processing_ns += took_ns
        self.durations.observe(took_ns / 1e9)
        if refusal is not None:
            self.errors += 1
            self.refusals[refusal.code] = self.refusals.get(refusal.code, 0) + 1
            # The code alone: any user can read this, and a message may name what only its sender may know.
            self.last_error = f"{refusal.number}:{refusal.code}"


class Discovery:
    """Answers on `$SRV.PING`, `$SRV.INFO`, `$SRV.STATS` and `$SRV.STATUS` for one instance of the service.

    `status` returns the answer to `$SRV.STATUS`; it is replaced once the service serves.
    """

    def __init__(
        self,
        connection: Client,
        subjects: UserSubjects,
        *,
        version: str,
        endpoints: Iterable[Endpoint],
        metadata: Mapping[str, str],
    ) -> None:
        self._connection = connection
        self._subjects = subjects
        self._endpoints = list(endpoints)
        self._metadata = dict(metadata)
        self._version = version
        self._started = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        self.instance = new_id().replace("-", "")
        self.serving = False
        self.status: Callable[[], Any] = lambda: {
            "status": "unhealthy",
            "reasons": ["the service is starting"],
            "causes": [],
            "instance": self.instance,
        }

    async def start(self) -> None:
        """Answers from now on."""
        ping = partial(self._identity, "ping")
        verbs = {"PING": ping, "INFO": self._info, "STATS": self._stats, "STATUS": self._status}
        for verb, answer in verbs.items():
            for scope in ("", f".{SERVICE_NAME}", f".{SERVICE_NAME}.{self.instance}"):
                for subject in self._subjects.arrivals(f"$SRV.{verb}{scope}"):
                    await self._connection.subscribe(subject, cb=self._answering(answer))

    def _answering(self, answer: Any) -> Any:
        async def receive(message: Msg) -> None:
            sender = self._subjects.sender(message.subject, message.reply)
            if sender is not None:
                await self._connection.publish(sender.reply, codec.encode(answer()))

        return receive

    def _status(self) -> Any:
        return self.status()

    def _identity(self, kind: str) -> dict[str, Any]:
        return {
            "type": f"io.nats.micro.v1.{kind}_response",
            "name": SERVICE_NAME,
            "id": self.instance,
            "version": self._version,
            "metadata": self._metadata | {"serving": "true" if self.serving else "false"},
        }

    def _info(self) -> dict[str, Any]:
        return self._identity("info") | {
            "description": "Commands, queries and events of hyperpage-persistence",
            "endpoints": self._described,
        }

    @cached_property
    def _described(self) -> list[dict[str, Any]]:
        return [
            _place(one) | {"metadata": {"schema": codec.encode(one.schema()).decode()}}
            for one in self._endpoints
        ]

    def _stats(self) -> dict[str, Any]:
        return self._identity("stats") | {
            "started": self._started,
            "endpoints": [
                _place(one)
                | {
                    "num_requests": one.requests,
                    "num_errors": one.errors,
                    "last_error": one.last_error,
                    "processing_time": one.processing_ns,
                    "average_processing_time": one.processing_ns // max(1, one.requests),
                }
                for one in self._endpoints
            ],
        }


def _place(endpoint: Endpoint) -> dict[str, Any]:
    return {"name": endpoint.name, "subject": endpoint.subject, "queue_group": QUEUE_GROUP}
