"""The guide to the TypeScript client: its programs are compiled strictly, and do what it says."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents.guides import blocks, guide
from tests.support.machines.typescript import compiled, needed_node
from tests.support.patience import wait_for
from tests.support.services.command_line import hyperpage, served_in

GUIDE = guide("typescript.md")
PROGRAMS = dict(zip(("first", "follows", "narrowed", "works"), blocks("ts", GUIDE), strict=True))
FIRST_SAID, FOLLOWS_SAID, NARROWED_SAID = blocks("text", GUIDE)


@pytest.fixture(scope="module")
def node() -> str:
    return needed_node()


@pytest.fixture(scope="module")
def programs(node: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = {f"{name}.mts": source for name, source in PROGRAMS.items()}
    return compiled(node, tmp_path_factory.mktemp("typescript"), sources)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with served_in(tmp_path) as folder:
        yield folder


@pytest.mark.parametrize(
    ("name", "said"), [("first", FIRST_SAID), ("follows", FOLLOWS_SAID), ("narrowed", NARROWED_SAID)]
)
def test_a_program_prints_what_is_said(node: str, programs: Path, folder: Path, name: str, said: str) -> None:
    done = subprocess.run(
        [node, str(programs / f"{name}.mjs")],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.stdout, done.returncode) == (said, 0), done.stderr


def test_the_worker_does_jobs_until_it_is_told_to_end(node: str, programs: Path, folder: Path) -> None:
    data = folder / "data"

    def state(job_id: str) -> str:
        asked = json.dumps({"id": job_id})
        return str(hyperpage("query", "jobs.get", asked, "--data", data, "--json").json["state"])

    with subprocess.Popen([node, str(programs / "works.mjs")], cwd=folder) as worker:
        try:
            for url in ("there", "gone"):
                body = json.dumps({"type": "fetch", "id": url, "payload": {"url": url}})
                assert hyperpage("send", "jobs.enqueue", body, "--data", data).code == 0
            wait_for(lambda: state("there") == "completed")
            wait_for(lambda: state("gone") == "failed")
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(60) == 0
        finally:
            worker.kill()
