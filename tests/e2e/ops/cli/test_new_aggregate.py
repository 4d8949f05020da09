"""The package of an aggregate, as it is written: it passes its own tests, is sound Python, and is served."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import ROOT
from tests.support.services.command_line import Served, environment, hyperpage


def run(folder: Path, *arguments: str, **variables: str) -> str:
    """The output of a Python module that runs in a folder, without the caller's settings."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=environment(HYPERPAGE=f"{sys.executable} -m ops.cli", **variables),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def look_at(folder: Path, package: str) -> None:
    """Checks the sources with ruff and with mypy in strict mode."""
    run(folder, "ruff", "check", "--isolated", ".")
    run(folder, "ruff", "format", "--isolated", "--check", ".")
    run(folder, "mypy", "--strict", "--cache-dir", str(folder / ".cache"), package, "tests")


@pytest.fixture(scope="module")
def baskets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authors") / "baskets"
    written = hyperpage("new-aggregate", "basket", "--out", folder, "--json").json
    assert {"README.md", "pyproject.toml", "baskets/basket.py", "tests/test_laws.py"} <= set(written["files"])
    return folder


def test_a_decider_is_sound_python(baskets: Path) -> None:
    look_at(baskets, "baskets")


# The guide begins with the same steps: tests/e2e/docs/test_your_own_aggregates.py.
@pytest.mark.prove
def test_a_decider_passes_its_own_tests(baskets: Path) -> None:
    assert "6 passed" in run(baskets, "pytest", "-q", "-p", "no:cacheprovider")


@pytest.mark.prove
def test_a_decider_that_is_installed_is_served(baskets: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    run(baskets, "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(site), ".")
    # Found by its entry point alone.
    found = {"PYTHONPATH": f"{ROOT}:{site}", "HYPERPAGE_AGGREGATES": ""}
    with Served(tmp_path / "data", "--no-http", **found) as served:
        answer = served.ask("send", "baskets.create", '{"id": "one", "title": "a"}')
        row = served.ask("query", "baskets.get", '{"id": "one"}')
    assert answer["events"] == ["basket.created.v1"]
    assert (row["title"], row["state"], row["version"]) == ("a", "open", 1)


def test_a_class_of_the_library_is_written_and_served(tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    written = hyperpage("new-aggregate", "order_line", "--library", "--out", folder, "--json").json
    assert "order_lines/order_line.py" in written["files"]

    look_at(folder, "order_lines")
    assert "2 passed" in run(folder, "pytest", "-q", "-p", "no:cacheprovider", "tests/test_order_line.py")
    tried = ("--aggregates", "order_lines=order_lines.order_line:OrderLine")
    with Served(tmp_path / "data", "--no-http", *tried, PYTHONPATH=f"{ROOT}:{folder}") as served:
        answer = served.ask("send", "order_lines.create", '{"id": "one", "title": "a"}')
        served.ask("send", "order_lines.close", '{"id": "one"}')
        refused = served("send", "order_lines.close", '{"id": "one"}', "--json")
    assert answer["events"] == ["order_line.created.v1"]
    assert refused.json["error"]["details"]["rule"] == "already_closed"


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    refused = hyperpage("new-aggregate", "basket", "--out", tmp_path, "--json")

    assert refused.code == 2
    assert "there is something in" in refused.json["error"]["message"]
    assert [one.name for one in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["Basket", "job", "class"])
def test_a_name_that_is_none_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)

    refused = hyperpage("new-aggregate", name, "--json")

    assert refused.code == 2
    assert json.loads(refused.out)["error"]["hint"]
    assert list(tmp_path.iterdir()) == []
