"""The package of an aggregate, as it is written: it passes its own tests, is sound Python, and is served."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.services.command_line import Served, environment, hyperpage


def run(folder: Path, *arguments: str, **variables: str) -> str:
    """What a module of this Python prints, run in a folder with nothing of the caller's."""
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


def test_a_decider_is_written_tested_and_served(tmp_path: Path) -> None:
    folder = tmp_path / "baskets"
    written = hyperpage("new-aggregate", "basket", "--out", folder, "--json").json
    assert {"README.md", "pyproject.toml", "baskets/basket.py", "tests/test_laws.py"} <= set(written["files"])

    run(folder, "ruff", "check", "--isolated", ".")
    run(folder, "ruff", "format", "--isolated", "--check", ".")
    run(folder, "mypy", "--strict", "--cache-dir", str(tmp_path / "mypy"), "baskets", "tests")
    assert "6 passed" in run(folder, "pytest", "-q", "-p", "no:cacheprovider")
    with Served(
        tmp_path / "data",
        "--no-http",
        "--aggregates",
        "baskets.basket",
        PYTHONPATH=f"{environment()['PYTHONPATH']}:{folder}",
    ) as served:
        answer = served.ask("send", "baskets.create", '{"id": "one", "title": "a"}')
        row = served.ask("query", "baskets.get", '{"id": "one"}')
    assert answer["events"] == ["basket.created.v1"]
    assert (row["title"], row["state"], row["version"]) == ("a", "open", 1)


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
