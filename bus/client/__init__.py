"""The client for services written in Python: commands, queries, and events to follow.

    async with connect("nats://…") as client:
        answer = await client.send(Enqueue(type="sync", name="nightly"))
        row = await client.get("jobs", id=answer.stream.removeprefix("jobs/"))
        async for event in client.subscribe(table="jobs"):
            …

Commands are structs of the domain, here `domain.jobs.commands.Enqueue`. A command goes out under an id, and
goes out again under that id until it is answered: it is carried out once. `bus.worker` is a worker for jobs
on top of it.

facade         `connect`, and the client with all that it can do
connection     one connection that is kept, and requests that are asked again until they are answered
questions      those that wait for an answer
durable        commands that a stream keeps
outgoing       commands on their way out
seen           how far into the log a client has seen
refusals       a refused request as the exception that it is
change_events  events as they are received
subscription   every event, each once: remote_log reads the log, live_feed the stream of events, whose state
               stream_report tells
"""

from bus.client.change_events import ChangeEvent, EventPage
from bus.client.connection import ClosedError, Unreachable
from bus.client.facade import Client, connect
from bus.client.outgoing import BatchCommand
from bus.client.refusals import UnknownRefusal
from bus.client.subscription import PlaceLostError, Subscription
from bus.contract.codec import CommandAnswer

# The name of `CommandAnswer` that programs know from the first versions on.
Answer = CommandAnswer

__all__ = [
    "Answer",
    "BatchCommand",
    "ChangeEvent",
    "Client",
    "ClosedError",
    "CommandAnswer",
    "EventPage",
    "PlaceLostError",
    "Subscription",
    "UnknownRefusal",
    "Unreachable",
    "connect",
]
