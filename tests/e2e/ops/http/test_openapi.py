"""The documents of the contract are what they say they are, and the service does what they say."""

import gzip
import json
import os
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from domain.catalogue import VERBS
from hyperpage_client.contract.subjects import BusNames
from ops.contract.asyncapi import asyncapi_document
from ops.contract.schema import all_structs
from ops.http.app import ANSWERS
from ops.http.openapi import page
from ops.http.openapi.document import openapi_document
from ops.http.routes.admin import ADMINISTRATION
from ops.http.routing import ANY_METHOD
from tests.support.documents.references import reached, references, resolve
from tests.support.repository import ROOT
from tests.support.services.asking import HttpTalk
from tests.support.services.command_line import Served, environment, hyperpage

# From the npm package @asyncapi/specs 6.11.1, where it is schemas/3.0.0-without-$id.json.
ASYNCAPI_SCHEMA = ROOT / "tests" / "support" / "documents" / "asyncapi-3.0.0.schema.json.gz"
DOCUMENT = openapi_document("1.2.3", needs_token=True)
OPERATIONS = {
    (method.upper(), path): operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
# Schema-valid requests may be refused: by rules of the domain, by versions, by what is "either … or …".
NOT_OURS = "positive_data_acceptance"
# Each of these requests starts a process, or lasts as long as its client listens or waits.
SLOW = r"/(backup|backups|projections|stream|events|await)(/|$)"
EVENTS = "/api/v1/events"
# Any place in the log is allowed, and one that is far ahead is answered as behind, after two seconds.
READ_ANYWHERE = ("--header", "Hyperpage-Min-Position: 0")


def test_the_document_is_openapi() -> None:
    schema = files("openapi_spec_validator").joinpath("resources", "schemas", "v3.1", "schema.json")
    jsonschema_rs.validate(json.loads(schema.read_text()), DOCUMENT)
    for kind in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(kind)
    for (_, path), operation in OPERATIONS.items():
        said = [
            resolve(DOCUMENT, one["$ref"]) if "$ref" in one else one
            for one in operation.get("parameters", ())
        ]
        assert set(re.findall(r"{(\w+)}", path)) == {one["name"] for one in said if one["in"] == "path"}
    for reference in references(DOCUMENT):
        resolve(DOCUMENT, reference)
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(names) == len(set(names))


@pytest.mark.prove
def test_whoever_checks_such_documents_finds_no_fault_with_it() -> None:
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_the_asyncapi_document_is_asyncapi() -> None:
    schema = json.loads(gzip.decompress(ASYNCAPI_SCHEMA.read_bytes()))
    jsonschema_rs.validate(schema, asyncapi_document(BusNames(), "1.2.3"))


def test_every_command_and_every_query_has_an_operation() -> None:
    described = {operation["operationId"] for operation in OPERATIONS.values()}

    assert {name for name, (_, verb) in VERBS.items() if not verb.internal} <= described
    assert {*all_structs()["queries"], "batch", "service.status"} <= described


def test_a_number_of_a_request_has_an_end_or_is_compared_with_one_of_ours() -> None:
    endless = {
        f"{name.rpartition('/')[2]}.{field}"
        for name in reached(DOCUMENT, [one.get("requestBody") for one in OPERATIONS.values()])
        for field, kind in resolve(DOCUMENT, name).get("properties", {}).items()
        for one in kind.get("anyOf", [kind])
        if one.get("type") == "integer" and not {"maximum", "enum"} & one.keys()
    }

    assert endless == {
        "AppStateSetIfBody.expected_version",
        "ToolConfigsRollbackBody.to_version",
        "ToolConfiguration.refreshInterval",
    }


def test_every_other_route_has_an_operation() -> None:
    routes = {
        (method, answer.path)
        for answer in ANSWERS
        for method in answer.methods
        if method != ANY_METHOD and "{area}" not in answer.path
    }
    # The page that shows the document is none of the API that it describes.
    routes -= {(method, one.path) for one in page.ROUTES for method in one.methods}

    assert routes - set(OPERATIONS) == set()


def test_every_administrative_act_has_an_operation(tmp_path: Path) -> None:
    with HttpTalk(tmp_path) as talk:
        there = {verb for verb in talk.service.parts.administration.names if not verb.startswith("import.")}

    # Restores are of the process that serves, and not of the service alone.
    assert there | {"backup.restore", "backup.restored"} == set(ADMINISTRATION)


def test_the_service_and_the_command_line_have_the_document(served: Served) -> None:
    with served.http() as http:
        document = http.get("/openapi.json").json()

    said = hyperpage("schema", "--format", "openapi").json
    assert document["paths"] == said["paths"]
    # This service needs no token, and a client may send one all the same.
    assert document["security"] == [{}, *said["security"]]


def test_whatever_the_document_allows_is_answered_as_it_says(served: Served, tmp_path: Path) -> None:
    ask_everything(served, tmp_path, "--phases", "fuzzing", "-n", "1", "--exclude-path-regex", SLOW)


@pytest.mark.prove
def test_much_that_the_document_allows_and_forbids_is_answered_as_it_says(
    served: Served, tmp_path: Path
) -> None:
    # A long timeout: a backup or a drill runs in a process of its own, and may get little processor time.
    ask_everything(served, tmp_path, "-n", "30", "--exclude-path", EVENTS, "--request-timeout", "120")
    # A stream of events stays open, so what came within two seconds is checked.
    ask_everything(served, tmp_path, "-n", "10", "--include-path", EVENTS, "--request-timeout", "2")


def ask_everything(served: Served, folder: Path, *options: str) -> None:
    """Runs schemathesis on a service; whatever it finds fails the test, with the request that shows it."""
    seed = os.environ.get("SCHEMATHESIS_SEED", "1")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{served.runtime['http_url']}/openapi.json"),
            *("--seed", seed, "--no-shrink", "--continue-on-failure", "--exclude-checks", NOT_OURS),
            *("--output-truncate", "false", "--warnings", "off"),
            *READ_ANYWHERE,
            *options,
        ],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, f"seed {seed}\n{done.stdout}\n{done.stderr}"
    assert served.process.poll() is None
    assert "Traceback" not in served.log.read_text()
