"""Standard tools make good types of the documents: programs that use these are compiled, strictly.

Each program has lines that must not compile, too.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hyperpage_client.contract.subjects import BusNames
from ops.contract.asyncapi import asyncapi_document
from ops.contract.bundle import bundle
from ops.http.openapi.document import openapi_document
from tests.support.documents.guides import blocks, guide
from tests.support.documents.references import reached, references, resolve
from tests.support.machines.node import COMPILER, GENERATORS, INSTALLED, node_with
from tests.support.repository import ROOT

PROGRAMS = ROOT / "tests" / "support" / "javascript"
# Compiler options of a program that is bundled, as most are, with all kinds of strictness.
STRICT = "--noEmit --strict --noUncheckedIndexedAccess --exactOptionalPropertyTypes --target es2022"
SETTINGS = f"{STRICT} --module esnext --moduleResolution bundler --types"
MESSAGES = ("command.jobs.claim", "command.jobs.enqueue", "query.jobs.list", "event.job.completed.v1")


def test_json_schema_to_typescript_makes_types_of_the_bundle(tmp_path: Path) -> None:
    generated(tmp_path, "json-schema-to-typescript/dist/src/cli.js", bundle(), "--output", "contract.ts")

    [of_the_guide] = blocks("ts", guide("clients.md"))
    compiles(tmp_path, "uses_of_json_schema.ts", of_the_guide)


def test_openapi_typescript_makes_types_of_the_http_api(tmp_path: Path) -> None:
    document = openapi_document("1.2.3", needs_token=True)
    generated(tmp_path, "openapi-typescript/bin/cli.js", document, "--output", "contract.ts")

    compiles(tmp_path, "uses_of_openapi.ts")


def test_the_generator_of_asyncapi_makes_models_of_messages(tmp_path: Path) -> None:
    some = part_of(asyncapi_document(BusNames(), "1.2.3"), MESSAGES)
    generated(tmp_path, PROGRAMS / "generators" / "models.mjs", some, "contract")

    compiles(tmp_path, "uses_of_asyncapi.ts")


@pytest.mark.prove
def test_the_generator_of_asyncapi_makes_models_of_all_messages(tmp_path: Path) -> None:
    document = asyncapi_document(BusNames(), "1.2.3")
    generated(tmp_path, PROGRAMS / "generators" / "models.mjs", document, "contract")

    compiles(tmp_path, "uses_of_asyncapi.ts")
    assert (tmp_path / "contract" / "ToolConfigsDiff.ts").exists()


def generated(folder: Path, tool: str | Path, document: Any, *options: str) -> None:
    """Runs a tool without a word about what is to be made of the document, but where that goes."""
    node = node_with(GENERATORS)
    (folder / "node_modules").symlink_to(INSTALLED / GENERATORS)
    (folder / "document.json").write_text(json.dumps(document), encoding="utf-8")
    program = folder / "node_modules" / tool
    if isinstance(tool, Path):
        # Node looks for packages beside the program, so the program is copied there.
        program = folder / tool.name
        program.write_text(tool.read_text(encoding="utf-8"), encoding="utf-8")
    run(folder, [node, str(program), "document.json", *options])


def compiles(folder: Path, program: str, before: str = "") -> None:
    node = node_with(COMPILER)
    (folder / program).write_text(before + (PROGRAMS / program).read_text("utf-8"), encoding="utf-8")
    run(folder, [node, str(INSTALLED / COMPILER / "bin" / "tsc"), *SETTINGS.split(), "", program])


def run(folder: Path, command: list[str]) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def part_of(document: dict[str, Any], operations: tuple[str, ...]) -> dict[str, Any]:
    """A document with some of its operations, and what belongs to them: all takes a tool ten seconds."""
    kept = {name: document["operations"][name] for name in operations}
    messages = {name.rpartition("/")[2] for name in references(kept) if "/messages/" in name}
    channels = {
        name: channel | {"messages": {one: of for one, of in channel["messages"].items() if one in messages}}
        for name, channel in document["channels"].items()
        if name in (*operations, "replies")
    }
    known = {name: one for name, one in document["components"]["messages"].items() if name in messages}
    schemas = {name.rpartition("/")[2]: resolve(document, name) for name in reached(document, known)}
    return document | {
        "channels": channels,
        "operations": kept,
        "components": {"messages": known, "schemas": schemas},
    }
