"""The commands of a table, as the service describes them: their schemas, and what each may lead to."""

from typing import Annotated, Any

import msgspec

from hyperpage_client.client import Client
from hyperpage_client.contract.commands import CommandAnswer
from hyperpage_client.documents import decoded
from hyperpage_client.queries.table import ANSWER_SECONDS

_INFO = "$SRV.INFO.hyperpage-persistence"
# The codes that any command may be refused with, also those that its verb does not declare.
ANY_CODE = frozenset({"invalid", "version_conflict", "command_id_reused", "secret_rejected", "forbidden"})


class LeadsTo(msgspec.Struct, frozen=True):
    """The declarations of a verb; an older service does not say whether the verb has a `result`."""

    events: frozenset[str]
    refusals: frozenset[str]
    rules: frozenset[str]
    remembered: str
    result: bool | None = None

    def undeclared_in(self, said: CommandAnswer) -> str | None:
        """The part of an answer that the verb does not declare; `None` if all is declared."""
        if undeclared := set(said.events) - self.events:
            return ", ".join(sorted(undeclared))
        return "a result" if said.result is not None and self.result is False else None


class CommandSchema(msgspec.Struct, frozen=True):
    """A command of a table: its name, the schema of its body, and what it may lead to."""

    name: str
    schema: dict[str, Any]
    leads_to: LeadsTo


class NotPublishedError(LookupError):
    """The service has no such table, or says nothing of what its commands lead to."""


class _Schema(msgspec.Struct):
    leads_to: Annotated[LeadsTo | None, msgspec.Meta()] = msgspec.field(name="x-leads-to", default=None)


class _Metadata(msgspec.Struct):
    schema: str


class _Endpoint(msgspec.Struct):
    subject: str
    metadata: _Metadata


class _Info(msgspec.Struct):
    endpoints: list[_Endpoint]


async def commands_of(client: Client, table: str) -> tuple[tuple[CommandSchema, ...], tuple[str, ...]]:
    """The commands of a table, in their order, and the names of the fields that its rows are found by.

    Raises:
        NotPublishedError: there is no such table, or the service is an older one.
    """
    answer = await client.connection.ask(_INFO, within_seconds=ANSWER_SECONDS)
    places = decoded(msgspec.json.Decoder(_Info).decode, answer).endpoints
    schemas = {one.subject: one.metadata.schema.encode() for one in places}
    found = []
    for subject, schema in schemas.items():
        if subject.startswith(client.names.command(f"{table}.")):
            name = client.names.name_in(subject)
            leads_to = msgspec.json.decode(schema, type=_Schema).leads_to
            if leads_to is None:
                raise NotPublishedError(f"the service does not say what {name} leads to: take a newer one")
            found.append(CommandSchema(name, msgspec.json.decode(schema), leads_to))
    by_key = schemas.get(client.names.query(f"{table}.get"))
    if not found or by_key is None:
        raise NotPublishedError(f"the service has no table {table} with commands")
    return tuple(found), tuple(msgspec.json.decode(by_key)["properties"])
