"""The client of a hyperpage-persistence service: commands, queries, and events to follow.

    async with connect("nats://…") as client:
        answer = await client.send(Enqueue(type="sync", name="nightly"))
        row = await client.get("jobs", id=answer.stream.removeprefix("jobs/"))
        async for event in client.subscribe(table="jobs"):
            …

Commands are structs of `hyperpage_client.commands`; `Enqueue` is one of its module `jobs`. A command is sent
under an id, and sent again under that id until it is answered: it is carried out once.

opening      `connect`
client       the client, with all that it can do
sync         the client for programs without an event loop
app          functions as jobs, and their workers
job          one function as a job
testing      a queue in memory for tests of programs that enqueue jobs, and checks of aggregates and clients
worker       a worker for jobs, on top of the client
pytest_plugin  fixtures for pytest, with a real service
errors       the refusals of a service, as exceptions
tables       the commands and queries of each table, as methods; `queries` has the queries alone
commands     every command as a struct
answers      rows, results and answers as structs
asking       requests and their answers
following    events, each once and in order
contract     the names and forms of messages on the bus
transport    nats-py, made faster and more robust
incident     the log record of a defect

All of them use documents, identifiers, tasks and waiting.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyperpage_client.app import App
    from hyperpage_client.asking.batch import Batch, Pending
    from hyperpage_client.asking.connection import ClosedError, Unreachable
    from hyperpage_client.asking.outgoing import BatchCommand
    from hyperpage_client.client import Client
    from hyperpage_client.contract.commands import CommandAnswer
    from hyperpage_client.errors import Refusal, UnknownRefusal
    from hyperpage_client.following.change_events import ChangeEvent, EventPage
    from hyperpage_client.following.subscription import PlaceLostError, Subscription
    from hyperpage_client.job import (
        EnqueuedJob,
        EnqueuedJobSync,
        Job,
        JobNotCompletedError,
        current_job,
    )
    from hyperpage_client.opening import address_in, connect

__all__ = [
    "App",
    "Batch",
    "BatchCommand",
    "ChangeEvent",
    "Client",
    "ClosedError",
    "CommandAnswer",
    "EnqueuedJob",
    "EnqueuedJobSync",
    "EventPage",
    "Job",
    "JobNotCompletedError",
    "Pending",
    "PlaceLostError",
    "Refusal",
    "Subscription",
    "UnknownRefusal",
    "Unreachable",
    "address_in",
    "connect",
    "current_job",
]

# Loaded on first use: the service uses parts of the client, and starts without loading the rest.
_PLACES = {
    "App": "app",
    "Batch": "asking.batch",
    "BatchCommand": "asking.outgoing",
    "ChangeEvent": "following.change_events",
    "Client": "client",
    "ClosedError": "asking.connection",
    "CommandAnswer": "contract.commands",
    "EnqueuedJob": "job",
    "EnqueuedJobSync": "job",
    "EventPage": "following.change_events",
    "Job": "job",
    "JobNotCompletedError": "job",
    "Pending": "asking.batch",
    "PlaceLostError": "following.subscription",
    "Refusal": "errors",
    "Subscription": "following.subscription",
    "UnknownRefusal": "errors",
    "Unreachable": "asking.connection",
    "address_in": "opening",
    "connect": "opening",
    "current_job": "job",
}


def __getattr__(name: str) -> Any:
    if (place := _PLACES.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{place}"), name)
