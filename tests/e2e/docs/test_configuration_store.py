"""docs/configuration-store.md, typed in word for word."""

import asyncio
import json
import re
import shlex
import tomllib

import nats
from nats.js.client import JetStreamContext

from domain.credentials.scanning import AllowedPaths
from tests.support.documents.bucket_reading import read_bucket
from tests.support.documents.guides import blocks, guide
from tests.support.patience import patiently
from tests.support.repository import ROOT
from tests.support.services.command_line import Served

GUIDE = guide("configuration-store.md")
CONSOLE = "\n".join(blocks("console", GUIDE))
# Each command, with the lines below it: what its output has in it.
STEPS = [step.splitlines() for step in re.split(r"^\$ ", CONSOLE, flags=re.MULTILINE) if step.strip()]
REFUSALS = ("config_matches_schema", "version_conflict", "secret_rejected")


def test_every_command_of_the_guide_does_what_it_says(served: Served):
    assert len(STEPS) >= 15
    for command, *expected in STEPS:
        program, *arguments = shlex.split(command)
        assert program == "hyperpage"
        result = served(*arguments, "--json")
        said = re.sub(r"\s+", "", result.out + result.err)
        is_refused = any(one in expected for one in REFUSALS)
        assert (result.code != 0) == is_refused, (command, result)
        for line in expected:
            assert line.replace(" ", "") in said, (command, result)


def test_what_a_bucket_has_is_read_as_the_guide_reads_it_however_often(served: Served):
    keys = {f"listed/{number}" for number in range(20)}
    for key in (*keys, "listed/gone"):
        served.ask("send", "app_state.set", json.dumps({"key": key, "value": key}))
    served.ask("send", "app_state.delete", '{"key": "listed/gone"}')

    async def listed(jetstream: JetStreamContext) -> set[str]:
        rows = await read_bucket(jetstream, "hyperpage_app_state")
        return {row["value"] for row in rows.values() if row["key"].startswith("listed/")}

    async def scenario() -> list[set[str]]:
        client = await nats.connect(served.runtime["nats_url"])
        jetstream = client.jetstream(timeout=30)
        async with asyncio.timeout(patiently(10)):
            while True:
                if await listed(jetstream) == keys:
                    break
                await asyncio.sleep(0.05)
        found = [await listed(jetstream) for _ in range(100)]
        await client.close()
        return found

    assert asyncio.run(scenario()) == [keys] * 100


def test_the_places_in_the_guide_are_places():
    (example,) = blocks("toml", GUIDE)
    AllowedPaths(tomllib.loads(example)["allowed_secret_paths"])


def test_the_guide_is_found_from_the_readme():
    assert "(docs/configuration-store.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
