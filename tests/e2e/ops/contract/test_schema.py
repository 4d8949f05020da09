"""The published contract says what the service does."""

import json
import subprocess
import sys
from typing import Any

import jsonschema_rs
import pytest

from bus.contract import codec
from domain.catalogue import DECIDERS, TIMELINE_FORKED, VERBS
from domain.errors import Refusal
from hyperpage_client.contract.subjects import BusNames
from ops.contract.asyncapi import asyncapi_document
from ops.contract.bundle import bundle
from ops.contract.schema import DIALECT, all_schemas, command_schema, schema_of
from tests.support.documents.references import references, resolve
from tests.support.repository import ROOT
from tests.support.services.command_line import environment, hyperpage

SCHEMAS = {name: schema for kind in all_schemas().values() for name, schema in kind.items()}
DOCUMENT = asyncapi_document(BusNames(), "1.2.3")


# JSON Schema


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_is_valid_and_whole_in_itself(name):
    schema = SCHEMAS[name]
    assert (schema["$schema"], schema["title"]) == (DIALECT, name)
    jsonschema_rs.meta.validate(schema)
    for reference in references(schema):
        resolve(schema, reference)


def test_there_is_a_schema_for_all_that_can_be_said():
    kinds = all_schemas()
    assert set(kinds["commands"]) == {name for name, (_, verb) in VERBS.items() if not verb.internal} | {
        "batch"
    }
    assert set(kinds["events"]) == {name for one in DECIDERS for name in one.events} | {TIMELINE_FORKED}
    for table in ("jobs", "queues", "schedules", "rate_limits", "tool_configs", "app_state"):
        assert {f"{table}.{verb}" for verb in ("get", "list", "count", "history", "as_of")} <= set(
            kinds["queries"]
        )
    assert command_schema("jobs.enqueue") == schema_of("jobs.enqueue")
    assert all_schemas()["queries"]["jobs.list"] == schema_of("jobs.list")
    assert all_schemas()["events"]["job.completed.v1"] == schema_of("job.completed.v1")


def test_the_schema_of_a_command_says_what_it_leads_to():
    assert schema_of("app_state.set_if")["x-leads-to"] == {
        "events": ["app_state.set.v1", "app_state.expired.v1"],
        "refusals": ["too_large", "version_conflict"],
        "rules": [],
        "result": False,
        "remembered": "yes",
    }
    assert "refused" in schema_of("jobs.complete")["x-leads-to"]["refusals"]
    assert schema_of("jobs.claim")["x-leads-to"]["remembered"] == "with_events"
    assert schema_of("jobs.claim")["x-leads-to"]["result"] is True
    assert "x-leads-to" not in schema_of("app_state.get")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("jobs.enqueue", {"type": "sync", "name": "acme/site"}),
        (
            "jobs.enqueue",
            {"type": "sync", "name": "x", "priority": 4, "payload": {"a": [1]}, "id": "a/b:c=1"},
        ),
        ("jobs.enqueue", {"type": "sync", "name": "x", "priority": 5}),
        ("jobs.enqueue", {"type": "sync", "name": "x", "colour": "red"}),
        ("jobs.enqueue", {"type": "sync"}),
        ("jobs.enqueue", {"type": "", "name": "x"}),
        ("jobs.enqueue", {"type": "sync", "name": "x", "id": "a..b"}),
        ("jobs.enqueue", {"type": "sync", "name": "x", "id": "ends."}),
        ("jobs.enqueue", {"type": "sync", "name": "x", "id": "line\n"}),
        ("jobs.enqueue", {"type": "sync", "name": "x", "id": "x" * 201}),
        ("jobs.claim", {"worker": "w", "types": ["sync"], "limit": 100, "lease_ms": 1000}),
        ("jobs.claim", {"worker": "w", "types": []}),
        ("jobs.claim", {"worker": "w", "lease_ms": 999}),
        ("rate_limits.observe", {"platform": "github", "resource": "core", "remaining": 0}),
        ("rate_limits.observe", {"platform": "git:hub", "remaining": 0}),
        (
            "rate_limits.observe_response",
            {"platform": "github", "status": 200, "headers": {"a": "b", "c": ["d", "e"]}},
        ),
        ("rate_limits.observe_response", {"platform": "github", "status": 200, "headers": {"a": 1}}),
        ("rate_limits.observe_response", {"platform": "github", "status": 200, "headers": {"": "a"}}),
        ("rate_limits.observe_response", {"platform": "github", "status": 99, "headers": {}}),
        ("rate_limits.set_thresholds", {"platform": "github", "warning_percent": 101}),
        ("rate_limits.reserve", {"platform": "github", "cost": 0}),
        ("rate_limits.reserve", {"platform": "github", "ttl_ms": 999}),
        ("rate_limits.release", {"platform": "github"}),
        ("tool_configs.patch", {"tool_name": "github", "patch": {"a": None}}),
        ("tool_configs.patch", {"tool_name": "github", "patch": [1]}),
        ("tool_configs.set_refresh_interval", {"tool_name": "github", "refresh_interval": None}),
        ("app_state.set_many", {"items": [{"key": "a", "value": None}]}),
        ("app_state.set_many", {"items": []}),
        ("app_state.set_many", {"items": [{"key": "a", "value": 1, "ttl_ms": 1}]}),
        ("app_state.set_many", {"items": [{"key": "a", "value": 1, "ttl_ms": 0}]}),
        ("app_state.set", {"key": "a", "value": 1, "ttl_ms": 31_622_400_000}),
        ("app_state.set", {"key": "a", "value": 1, "ttl_ms": 31_622_400_001}),
        ("tool_configs.register_schema", {"tool_name": "github", "schema": {"type": "object"}}),
        ("tool_configs.register_schema", {"tool_name": "github", "schema": True}),
        ("tool_configs.validate", {"tool_name": "github"}),
        ("app_state.set_many", {"items": [{"key": "a"}]}),
        ("app_state.set_if", {"key": "a", "value": 1, "expected_version": -1}),
    ],
)
def test_a_schema_accepts_what_the_service_decodes_and_nothing_else(name, body):
    _, verb = codec.find_verb(name)
    try:
        codec.decode_command(verb, json.dumps(body).encode())
        is_decoded = True
    except Refusal:
        is_decoded = False
    assert jsonschema_rs.is_valid(command_schema(name), body) == is_decoded


# AsyncAPI. Beside what is asserted here, the document was found valid by the official JSON Schema of
# AsyncAPI 3.0.0, which no Python package ships.


def test_every_reference_of_the_document_leads_somewhere():
    for reference in references(DOCUMENT):
        resolve(DOCUMENT, reference)


def test_the_document_has_the_shape_of_asyncapi_3():
    assert set(DOCUMENT) == {
        "asyncapi", "info", "defaultContentType", "servers", "channels", "operations", "components",
    }  # fmt: skip
    assert (DOCUMENT["asyncapi"], DOCUMENT["info"]["version"]) == ("3.0.0", "1.2.3")
    for name, channel in DOCUMENT["channels"].items():
        assert set(channel) <= {"address", "description", "messages", "parameters"}, name
        placeholders = {f"{{{parameter}}}" for parameter in channel.get("parameters", ())}
        assert all(placeholder in channel["address"].split(".") for placeholder in placeholders)
    for name, operation in DOCUMENT["operations"].items():
        assert set(operation) <= {"action", "channel", "messages", "reply", "bindings"}, name
        assert operation["action"] in ("send", "receive")
        assert_messages_are_the_channels(operation)
        if "reply" in operation:
            assert_messages_are_the_channels(operation["reply"])
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": DIALECT, **schema})


def assert_messages_are_the_channels(operation: dict[str, Any]) -> None:
    channel = operation["channel"]["$ref"]
    assert operation["messages"]
    assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"])


def test_the_document_has_every_command_query_and_event_under_its_subject():
    addresses = {name: channel["address"] for name, channel in DOCUMENT["channels"].items()}
    assert addresses["command.jobs.enqueue"] == "hyperpage.cmd.v1.jobs.enqueue"
    assert addresses["durable.jobs.enqueue"] == "hyperpage.dcmd.v1.jobs.enqueue"
    assert addresses["query.jobs.list"] == "hyperpage.qry.v1.jobs.list"
    assert addresses["event.job.completed.v1"] == "hyperpage.evt.v1.jobs.{key}.completed"
    assert addresses["results"] == "hyperpage.res.v1.{command_id}"
    assert addresses["replies"] is None
    kinds = all_schemas()
    assert {name.removeprefix("command.") for name in addresses if name.startswith("command.")} == set(
        kinds["commands"]
    )
    assert {name.removeprefix("query.") for name in addresses if name.startswith("query.")} == set(
        kinds["queries"]
    )
    assert {name.removeprefix("event.") for name in addresses if name.startswith("event.")} == set(
        kinds["events"]
    )
    used = [address for address in addresses.values() if address is not None]
    assert len(set(used)) == len(used)


def test_the_answers_of_the_queries_of_a_moment_are_described():
    for query, names in {
        "rate_limits.may_call": {"allowed", "retry_at", "remaining", "level", "stale"},
        "rate_limits.forecast": {"burn_rate", "runs_out_at", "runs_out_before_reset", "remaining"},
    }.items():
        answer = resolve(DOCUMENT, DOCUMENT["components"]["messages"][f"{query}.answer"]["payload"]["$ref"])
        assert names <= set(answer["properties"])
        assert set(answer["required"]) == set(answer["properties"]) - {"jobs_waiting", "jobs_from"}


# The command


def test_the_names_are_listed_and_one_is_shown(tmp_path):
    listed = hyperpage("schema", "--data", tmp_path)
    assert listed.code == 0
    for name in ("jobs.enqueue", "jobs.list", "job.completed.v1"):
        assert f"  {name} " in listed.out.replace("\n", " \n")
    assert hyperpage("schema", "jobs.enqueue").json == command_schema("jobs.enqueue")
    assert hyperpage("schema", "--format", "jsonschema").json == bundle()


def test_an_unknown_name_exits_with_3_and_a_similar_one_is_offered():
    unknown = hyperpage("schema", "jobs.enqeue", "--json")
    assert (unknown.code, unknown.json["error"]["code"]) == (3, "not_found")
    assert "did you mean jobs.enqueue" in unknown.err


def test_the_asyncapi_document_speaks_of_the_prefix_that_is_set(tmp_path):
    document = hyperpage("schema", "--format", "asyncapi", "--data", tmp_path, HYPERPAGE_PREFIX="acme").json
    assert document["channels"]["command.jobs.enqueue"]["address"] == "acme.cmd.v1.jobs.enqueue"
    assert hyperpage("schema", "jobs.enqueue", "--format", "asyncapi").code == 2


def test_shapes_of_others_are_not_taken_for_each_other_nor_for_ours():
    aggregates = ",".join(f"tests.support.aggregates.orders:{one}" for one in ("JOB", "ORDERS", "RETURNS"))
    said = "from ops.contract.asyncapi import *; from ops.http.openapi.document import openapi_document as o;"
    of_http = 'o("1.2.3", needs_token=True)["components"]["schemas"]'
    of_bus = 'asyncapi_document(BusNames(), "1.2.3")["components"]["schemas"]'
    printed = subprocess.run(
        [sys.executable, "-c", f"import json; {said} print(json.dumps([{of_bus}, {of_http}]))"],
        env=environment(HYPERPAGE_AGGREGATES=aggregates, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=True,
    )
    for schemas in json.loads(printed.stdout):
        assert [name for name, one in schemas.items() if one.get("title", name) != name] == []
        for reference in references(schemas):
            assert reference.rpartition("/")[2] in schemas
        fields = {name: list(one.get("properties", ())) for name, one in schemas.items()}
        assert fields["Queue"] == list(DOCUMENT["components"]["schemas"]["Queue"]["properties"])
        # Types of the same name get names of their own: a command, a struct in answers or bodies, and a row.
        assert fields["OrdersLine"] == ["id", "field_0", "field_1", "field_2"]
        assert (fields["OrdersLine2"], fields["ReturnsLine2"]) == (["a"], ["b"])
        assert schemas["OrdersLine2"]["required"] == ["a"]
        assert schemas["OrdersLineBody2"]["required"] == []
        assert schemas["OrdersState"]["enum"] == [1, 2]
        assert (fields["OrdersJob"], fields["ReturnsJob"]) == (["hours"], ["inner"])
        assert fields["OrdersQueue"] == ["id", "field_0", "field_1", "field_2", "version", "position"]


def test_the_reference_is_printed_without_its_examples():
    printed = hyperpage("schema", "--format", "markdown")
    assert printed.code == 0
    assert printed.out.startswith("# Reference\n")
    assert "\n### jobs.enqueue\n" in printed.out
    assert "```" not in printed.out
    assert hyperpage("schema", "jobs.enqueue", "--format", "markdown").code == 2
