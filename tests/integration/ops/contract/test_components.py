"""The components of the documents have stable names, and real messages match them."""

from functools import cache
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from domain.component_names import component_name
from ops.contract.bundle import bundle
from ops.contract.components import OF_DOCUMENTS, Components, parts_of
from ops.contract.reference.page import Example
from ops.http.openapi.document import openapi_document
from tests.support.documents.reference_examples import COMMANDS, QUERIES, examples
from tests.support.documents.references import references, resolve
from tests.support.domain import event_samples

BUNDLE = bundle()
DEFINITIONS = BUNDLE["$defs"]
MEMBERS = {
    kind: {name: one["$ref"].rpartition("/")[2] for name, one in of["properties"].items()}
    for kind, of in BUNDLE["properties"].items()
    if "properties" in of
}


@cache
def validator_of(name: str) -> Any:
    return jsonschema_rs.validator_for({"$ref": f"#/$defs/{name}", "$defs": DEFINITIONS})


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Example]:
    return examples(tmp_path_factory.mktemp("examples"))


def test_the_bundle_is_a_schema_whose_references_lead_somewhere():
    jsonschema_rs.meta.validate(BUNDLE)
    for reference in references(BUNDLE):
        resolve(BUNDLE, reference)


def test_each_component_has_a_name_of_its_own():
    # msgspec renames a component whose name is taken.
    assert {name for name, one in DEFINITIONS.items() if one["title"] != name} == set()
    assert all(name.isidentifier() for name in DEFINITIONS)


def test_a_component_is_called_by_what_it_is():
    assert component_name("tool_config.refresh_interval_set.v1") == "ToolConfigRefreshIntervalSetV1"
    assert MEMBERS["commands"]["jobs.enqueue"] == "JobsEnqueue"
    assert MEMBERS["answers"]["jobs.enqueue"] == "JobsEnqueueAnswer"
    assert MEMBERS["answers"]["jobs.list"] == "JobPage"
    assert MEMBERS["events"]["job.completed.v1"] == "JobCompletedV1Event"
    assert MEMBERS["rows"] == {
        "jobs": "WholeJob",
        "queues": "Queue",
        "schedules": "Schedule",
        "rate_limits": "RateLimit",
        "tool_configs": "ToolConfig",
        "app_state": "AppState",
    }


def test_the_names_of_whatever_else_the_documents_have_are_taken():
    of_http = openapi_document("1.2.3", needs_token=True)["components"]["schemas"].keys()
    made_of_commands = {f"{component}Body" for component in MEMBERS["commands"].values()}
    assert of_http - DEFINITIONS.keys() - made_of_commands <= set(OF_DOCUMENTS)


@pytest.mark.parametrize("name", [*COMMANDS, *QUERIES])
def test_an_example_and_its_answer_are_as_the_bundle_says(name: str, sent: dict[str, Example]):
    asked = MEMBERS["commands" if name in COMMANDS else "queries"][name]

    validator_of(asked).validate(msgspec.json.decode(sent[name].body))
    validator_of(MEMBERS["answers"][name]).validate(msgspec.json.decode(sent[name].answer))


def test_recorded_events_are_as_the_bundle_says():
    for sample in event_samples.read():
        validator_of(component_name(sample.type)).validate(msgspec.json.decode(sample.data))


def test_what_is_answered_has_no_default_and_of_http_nothing_has():
    # Tools treat a field with a default as always present.
    answered = reached(MEMBERS["answers"].values())
    assert [name for name in answered for part in parts_of(DEFINITIONS[name]) if "default" in part] == []
    of_http = Components("#/components/schemas/", openapi=True).schemas
    assert [name for name, one in of_http.items() for part in parts_of(one) if "default" in part] == []


def reached(names: Any) -> set[str]:
    """The names of the components and of all that they refer to, directly or through others."""
    waiting, found = list(names), set[str]()
    while waiting:
        if (name := waiting.pop().rpartition("/")[2]) not in found:
            found.add(name)
            waiting += references(DEFINITIONS[name])
    return found
