"""The guide to aggregates of one's own, typed in word for word, from an empty folder on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from domain.installed.checking import MAXIMUM_VERBS, QUERIES
from domain.installed.loading import MAXIMUM_AGGREGATES, VARIABLE, installed
from domain.installed.reserved import RESERVED_BEGINNINGS, RESERVED_ENDINGS
from domain.upcasters import upcast
from migrations.aggregate_tables import MAXIMUM_COLUMNS
from tests.support.documents.guides import blocks, guide
from tests.support.documents.typed_in import Step, steps
from tests.support.repository import ROOT
from tests.support.services.command_line import Served, environment

GUIDE = guide("your-own-aggregates.md")
COUNTERS, DOGS, PROGRAM, TESTS, NEWER, NEWER_DOGS = blocks("python", GUIDE)
SERVE = "hyperpage serve "


class Typist:
    """A reader of the guide: types its commands into a shell, and runs its services beside that."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._home = folder
        self._stack = stack
        self._services = 0
        program = folder / "bin" / "hyperpage"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ops.cli "$@"\n')
        program.chmod(0o755)
        python = program.with_name("python")
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)

    def types(self, step: Step) -> str:
        """The output of a command, followed by its errors."""
        if step.command.startswith(SERVE):
            self.serve(*step.command.removeprefix(SERVE).split())
            return ""
        if step.command.startswith("cd "):
            self.folder /= step.command.removeprefix("cd ")
            return ""
        path = f"{self._home / 'bin'}{os.pathsep}{os.environ['PATH']}"
        data = str(self._home / f"data{self._services}")
        done = subprocess.run(
            ["bash", "-c", step.command],
            cwd=self.folder,
            env=environment(PATH=path, HYPERPAGE_DATA=data, HYPERPAGE=str(self._home / "bin/hyperpage")),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return done.stdout + done.stderr

    def serve(self, *arguments: str) -> None:
        """Serves on a store of its own, after what was served before."""
        self._stack.close()
        self._services += 1
        path = f"{ROOT}:{self.folder}"
        data = self._home / f"data{self._services}"
        self._stack.enter_context(Served(data, "--no-http", *arguments, PYTHONPATH=path))


@pytest.fixture
def typist(tmp_path: Path) -> Iterator[Typist]:
    with ExitStack() as stack:
        yield Typist(tmp_path, stack)


def section(title: str) -> str:
    """The text below a heading, up to the next one of the same level."""
    return GUIDE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(
    ("title", "files", "count"),
    [
        ("The quick way", {}, 7),
        ("By hand: a decider", {"counters.py": COUNTERS}, 7),
        ("By hand: a class of the library", {"dogs.py": DOGS}, 4),
        pytest.param(
            "Types for programs",
            {"counters.py": COUNTERS, "program.py": PROGRAM},
            5,
            marks=pytest.mark.prove,
        ),
        pytest.param(
            "Its tests", {"counters.py": COUNTERS, "test_counters.py": TESTS}, 2, marks=pytest.mark.prove
        ),
    ],
)
def test_every_command_prints_what_the_guide_shows(
    typist: Typist, title: str, files: dict[str, str], count: int
) -> None:
    for name, text in files.items():
        (typist.folder / name).write_text(text)
    typed = steps(section(title))
    assert len(typed) == count
    for step in typed:
        said = typist.types(step)
        assert step.is_shown_by(said), (step, said)


def test_an_event_that_changed_is_read_as_the_guide_says(tmp_path: Path, typist: Typist) -> None:
    module = tmp_path / "counters.py"
    module.write_text(COUNTERS)
    typist.serve("--aggregates", "counters")
    typist.types(Step("""hyperpage send counters.add '{"id": "visits", "by": 3}'""", ""))
    changed = (
        COUNTERS.replace("    by: int\n", "    amount: int\n")
        .replace("Added(by=", "Added(amount=")
        .replace("recorded.event.by", "recorded.event.amount")
    )
    assert changed.count("amount") == 3
    changed = changed.replace('events={"counter.added.v1": Added}', "events=EVENTS, upcasters=UPCASTERS")
    module.write_text(changed.replace("DECIDER = ", f"{NEWER}\nDECIDER = "))

    path = f"{ROOT}:{tmp_path}"
    with Served(tmp_path / "data1", "--no-http", "--aggregates", "counters", PYTHONPATH=path) as served:
        assert served.ask("query", "counters.get", '{"id": "visits"}')["count"] == 3


def test_an_event_of_a_class_that_changed_is_read_as_the_guide_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = NEWER_DOGS.partition(":\n")[2].replace("-> None: ...", "-> None:").rstrip("\n")
    before = '    @event("TrickAdded")\n    def add_trick(self, trick: str) -> None:'
    assert before in DOGS
    module = DOGS.replace(before, changed).replace("append(trick)", "append(name)")
    (tmp_path / "newer_dogs.py").write_text(f"from typing import Any\n\n{module}")
    monkeypatch.syspath_prepend(tmp_path)

    (newer,) = (one for one in installed({VARIABLE: "dogs=newer_dogs:Dog"}) if one.decider.table == "dogs")

    assert upcast("dog.trick_added.v1", {"trick": "sit"}, newer.decider.upcasters) == (
        "dog.trick_added.v2",
        {"name": "sit"},
    )


def test_the_names_and_limits_of_the_guide_are_those_of_the_program() -> None:
    refused = section("What is refused")
    for name in (*RESERVED_BEGINNINGS, *RESERVED_ENDINGS, *QUERIES):
        assert f"`{name}`" in refused
    limits = section("Limits")
    for limit in (
        f"{MAXIMUM_AGGREGATES} aggregates of others",
        f"{MAXIMUM_VERBS} verbs each",
        f"3 to {MAXIMUM_COLUMNS} columns",
    ):
        assert limit in limits


def test_the_guide_is_found_from_the_readme() -> None:
    assert "(docs/your-own-aggregates.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
