"""The guide to performance: its program does what it says, and its table has its place."""

import subprocess
import sys

from tests.benchmarks.core.document import BEGIN, END
from tests.support.documents.guides import blocks, guide
from tests.support.services.command_line import Served

GUIDE = guide("performance.md")
[PROGRAM] = blocks("python", GUIDE)
[PRINTED] = blocks("text", GUIDE)


def test_the_program_that_keeps_many_commands_under_way_prints_what_is_said(served: Served) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=served.data.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout == PRINTED, done.stderr


def test_the_guide_has_a_place_for_what_is_measured() -> None:
    assert GUIDE.index(BEGIN) < GUIDE.index(END)
