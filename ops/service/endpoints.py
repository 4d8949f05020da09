"""The endpoints of a service for discovery on the network, and two requests: its status, and refilling."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bus.publishing.relay import Relay
from bus.serving.administration import AdministrationVerb, NoArguments
from bus.serving.discovery import Endpoint
from bus.serving.queries.reading import QueryVerb
from domain.catalogue import COMMANDS
from hyperpage_client.contract.subjects import BATCH, BusNames
from ops.contract.schema import command_schema, struct_schema


def command_endpoints(names: BusNames) -> dict[str, Endpoint]:
    """An endpoint for each command that clients may send, and one for batches, by the command's name."""
    return {
        name: Endpoint(
            name=f"cmd-{name.replace('.', '-')}",
            subject=names.command(name),
            schema=partial(command_schema, name),
        )
        for name in (*COMMANDS, BATCH)
    }


def query_endpoints(names: BusNames, verbs: Mapping[str, QueryVerb]) -> dict[str, Endpoint]:
    """An endpoint for each query, by the query's name."""
    return {
        name: Endpoint(
            name=f"qry-{name.replace('.', '-')}",
            subject=names.query(name),
            schema=partial(struct_schema, name, verb.shape),
        )
        for name, verb in verbs.items()
    }


def status_verb(answer: Callable[[Any, Any], bytes]) -> dict[str, QueryVerb]:
    """The query for the service's status, by its name."""
    verb = QueryVerb(name="service.status", shape=NoArguments, answer=answer, reads=False)
    return {verb.name: verb}


def refill_verb(relay: Relay) -> AdministrationVerb:
    """The request by which an operator has the stream of events filled again."""

    async def refill(_: NoArguments) -> dict[str, bool]:
        await relay.refill()
        return {"refilling": True}

    return AdministrationVerb(name="stream.refill", shape=NoArguments, carry_out=refill)
