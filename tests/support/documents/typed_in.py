"""Runs the commands of a guide word for word, and checks that they print what the guide shows."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import msgspec

from tests.support.documents.guides import blocks
from tests.support.services.command_line import Served, environment

# The address in the guides; a test has a port of its own.
ADDRESS = "127.0.0.1:8822"
_MARK = "@@ {} @@"


class Step(msgspec.Struct, frozen=True):
    """A command, and what the guide shows of what it prints."""

    command: str
    shown: str

    def is_shown_by(self, said: str) -> bool:
        """True if it printed what the guide shows, where an ellipsis stands for any text."""
        pattern = ".*".join(re.escape(part) for part in self.shown.rstrip("\n").split("…"))
        return re.fullmatch(pattern, said.rstrip("\n"), re.DOTALL) is not None


def steps(guide: str) -> list[Step]:
    """Each command in the blocks of a guide that begin with a prompt, in its order."""
    return [
        Step(*part.partition("\n")[::2])
        for block in blocks("console", guide)
        if block.startswith("$ ")
        for part in f"\n{block}".split("\n$ ")[1:]
    ]


def typed_in(guide: str, served: Served) -> Iterator[tuple[Step, str, str]]:
    """Each command of a guide with what it printed, and the errors of all, run by one shell beside `data`."""
    folder = served.data.parent
    lines = [f"{step.command}\necho '{_MARK.format(number)}'" for number, step in enumerate(steps(guide))]
    # The command line of this Python, under the name that users type.
    program = folder / "hyperpage"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ops.cli "$@"\n')
    program.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash"],
        input="\n".join(lines).replace(ADDRESS, served.runtime["http_url"].removeprefix("http://")),
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment(PATH=path, HYPERPAGE_DATA=str(served.data)),
        timeout=100,
        check=False,
    )
    printed = done.stdout
    for number, step in enumerate(steps(guide)):
        said, _, printed = printed.partition(_MARK.format(number) + "\n")
        yield step, said, done.stderr
