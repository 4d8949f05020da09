"""The README's first screen, typed in word for word."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.documents.guides import blocks
from tests.support.patience import wait_for
from tests.support.repository import ROOT
from tests.support.services.command_line import PROGRAM, Served, environment, separately_in, served_in

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLE = [
    line.removeprefix("$ ")
    for block in blocks("console", README)
    for line in block.splitlines()
    if line.startswith("$ ")
]
PYTHON = blocks("python", README)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
COMMAND = ".venv/bin/hyperpage "


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with served_in(tmp_path_factory.mktemp("clone")) as folder:
        yield folder


def _run(command: str, folder: Path) -> str:
    done = separately_in(folder, *shlex.split(command.removeprefix(COMMAND)))
    assert done.code == 0, done.err
    return done.out


def test_the_two_commands_are_the_makefiles_own() -> None:
    assert "make run" in CONSOLE
    assert "make test" in CONSOLE
    assert {"run:", "test:"} <= {line.split(" ")[0] for line in MAKEFILE.splitlines()}
    assert "hyperpage serve --data ./data $(ARGS)" in MAKEFILE


def test_every_command_of_the_first_screen_does_what_it_says(folder: Path) -> None:
    outputs = {command: _run(command, folder) for command in CONSOLE if command.startswith(COMMAND)}
    said = "\n".join(outputs.values())
    assert len(outputs) == 6
    assert "job.enqueued.v1" in said
    assert "Sync acme/site" in said
    assert "job.claimed.v1" in said
    assert "healthy" in said


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples need curl")
def test_the_curl_examples_store_a_row_and_show_it(folder: Path) -> None:
    url = json.loads((folder / "data" / "runtime.json").read_text())["http_url"]
    beginning = f"TOKEN=$({COMMAND}"
    [token] = [one for one in CONSOLE if one.startswith(beginning)]
    shown = [one for one in CONSOLE if one.startswith("curl ")]
    lines = [token.replace(COMMAND, f"{shlex.join(PROGRAM)} "), *(f"{one}; echo" for one in shown)]
    done = subprocess.run(
        ["bash", "-euc", "\n".join(lines).replace("http://127.0.0.1:8822", url)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    stored, row = map(json.loads, done.stdout.splitlines())

    assert stored["stream"] == "app_state/theme"
    assert row["value"] == "dark"


def test_the_python_example_gets_the_same_answer_twice(folder: Path) -> None:
    runs = [
        subprocess.run(
            [sys.executable, "-c", PYTHON[0]],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout.splitlines()
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    answer, row = map(json.loads, runs[0])
    assert answer["command_id"] == "my-first-command"
    assert row["value"] == "dark"


def test_a_newcomer_is_in_the_console_with_one_click(tmp_path: Path) -> None:
    """`make run` prints a link, also where it is not a terminal that it prints to."""
    recipe = re.search(r"^\t@(.*) exec \$\(BIN\)/hyperpage serve", MAKEFILE, re.MULTILINE)
    assert recipe is not None
    name, _, value = recipe[1].replace("$$", "$").partition("=")
    assert (name, value) == ("HYPERPAGE_CONSOLE_LINK", "${HYPERPAGE_CONSOLE_LINK:-always}")
    with Served(tmp_path / "data", "--http", "127.0.0.1:0", HYPERPAGE_CONSOLE_LINK="always") as served:
        wait_for(lambda: "/console/login?code=" in served.log.read_text())
        [link] = re.findall(r"http://\S+/console/login\?code=\S+", served.log.read_text())
        assert "hyperpage token create" in served.log.read_text()
        with httpx.Client(trust_env=False, follow_redirects=True, timeout=20) as browser:
            page = browser.get(link)
            assert (page.status_code, page.url.path, page.url.query) == (200, "/console", b"")
        with httpx.Client(trust_env=False, follow_redirects=True, timeout=20) as another:
            assert another.get(link).status_code == 401
    with Served(tmp_path / "data", "--http", "127.0.0.1:0") as served:
        # A service without a terminal and that setting logs no link: this one is the first service's.
        assert served.log.read_text().count("/console/login?code=") == 1
