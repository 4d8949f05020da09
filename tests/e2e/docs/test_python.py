"""The guide to the Python client, typed in word for word."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents.guides import blocks, guide
from tests.support.machines.postgresql import postgresql
from tests.support.services.command_line import environment, served_in

GUIDE = guide("python.md")
(
    FIRST,
    LATE,
    TASKS,
    ENQUEUES,
    IN_STEP,
    JOBS_IN_STEP,
    IN_TESTS,
    THEIR_TEST,
    OUTBOX,
    IN_POSTGRESQL,
    FASTAPI,
    DJANGO,
) = blocks("python", GUIDE)
SAID = blocks("text", GUIDE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with served_in(tmp_path_factory.mktemp("theirs")) as folder:
        (folder / "tasks.py").write_text(TASKS)
        yield folder


def run(folder: Path, *arguments: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(HYPERPAGE=f"{sys.executable} -m ops.cli", **variables),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("program", "said"),
    [(FIRST, SAID[0]), (LATE, SAID[1]), (IN_STEP, SAID[3]), (IN_TESTS, SAID[5]), (OUTBOX, SAID[6])],
    ids=["first", "late", "in-step", "in-tests", "outbox"],
)
def test_a_program_prints_what_is_said(folder: Path, program: str, said: str) -> None:
    assert run(folder, "-c", program) == said


@pytest.fixture
def worker(folder: Path) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "tasks.py"], cwd=folder, env=environment()) as working:
        yield
        working.terminate()
        assert working.wait(30) == 0


@pytest.mark.usefixtures("worker")
def test_functions_are_jobs_and_a_worker_ends_when_it_is_told_to(folder: Path) -> None:
    assert run(folder, "-c", ENQUEUES) == SAID[2]
    assert run(folder, "-c", JOBS_IN_STEP) == SAID[4]


def test_their_test_passes(folder: Path) -> None:
    (folder / "test_theme.py").write_text(THEIR_TEST)

    ran = run(
        folder,
        "-m",
        "pytest",
        "-q",
        "-p",
        "hyperpage_client.pytest_plugin",
        "-p",
        "no:cacheprovider",
        "test_theme.py",
    )

    assert "1 passed" in ran


SENDERS = """
import asyncio, os, psycopg
from hyperpage_client import address_in, connect
from hyperpage_client.errors import Busy
from shop_orders import place_order, send_outbox

class Interrupted:
    def __init__(self, client, sends):
        self.client, self.sends = client, sends

    async def send(self, *command, **about):
        self.sends -= 1
        if self.sends < 0:
            raise Busy("too much")
        return await self.client.send(*command, **about)

async def main():
    where = os.environ["DATABASE_URL"]
    async with (
        await psycopg.AsyncConnection.connect(where, autocommit=True) as one,
        await psycopg.AsyncConnection.connect(where, autocommit=True) as other,
        connect(address_in("data")) as client,
    ):
        before = await client.count("jobs", type="ship")
        for number in range(5):
            await place_order(one, f"of-many-{number}", "teapot")
        try:
            await send_outbox(one, Interrupted(client, 3))
        except Busy:
            print("interrupted")
        sent = await asyncio.gather(send_outbox(one, client), send_outbox(other, client))
        print(sorted(sent), await client.count("jobs", type="ship") - before)

asyncio.run(main())
"""


# To install a PostgreSQL takes longer than this: `.ci/postgresql` does it where there is none, and then
# `make prove ARGS='tests/e2e/docs/test_python.py -k postgresql'` runs it alone.
@pytest.mark.prove
@pytest.mark.skipif(importlib.util.find_spec("psycopg") is None, reason="psycopg is not installed")
def test_an_outbox_in_postgresql_sends_each_command_once_whoever_is_interrupted(folder: Path) -> None:
    (folder / "shop_orders.py").write_text(IN_POSTGRESQL)
    with postgresql() as url:
        assert run(folder, "shop_orders.py", DATABASE_URL=url) == SAID[7]
        assert run(folder, "-c", SENDERS, DATABASE_URL=url) == "interrupted\n[0, 5] 5\n"


@pytest.mark.skipif(importlib.util.find_spec("fastapi") is None, reason="FastAPI is not installed")
@pytest.mark.usefixtures("worker")
def test_a_service_with_fastapi_enqueues_and_tells_what_became_of_it(folder: Path) -> None:
    (folder / "shop.py").write_text(FASTAPI)
    asks = """
import time
from fastapi.testclient import TestClient
from shop import api
with TestClient(api) as client:
    job = client.post("/pages", params={"url": "abc"}).json()["job"]
    until = time.monotonic() + 60
    while (told := client.get(f"/pages/{job}").json())["state"] != "completed" and time.monotonic() < until:
        time.sleep(0.02)
    print(told, client.get("/pages/nothing").status_code)
"""
    assert run(folder, "-c", asks) == "{'state': 'completed', 'result': 3, 'error': None} 404\n"


@pytest.mark.skipif(importlib.util.find_spec("django") is None, reason="Django is not installed")
def test_a_view_of_django_enqueues_and_tells(folder: Path) -> None:
    (folder / "views.py").write_text(DJANGO)
    asks = """
from django.conf import settings
settings.configure()
import django
django.setup()
from django.test import RequestFactory
import json, views
job = json.loads(views.enqueue(RequestFactory().post("/", {"url": "abc"})).content)["job"]
print(json.loads(views.state(None, job).content)["state"] in ("pending", "running", "completed"))
"""
    assert run(folder, "-c", asks) == "True\n"
