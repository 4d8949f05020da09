"""The guide to durable commands, typed in word for word."""

import subprocess
import sys

from tests.support.documents.guides import blocks, guide
from tests.support.services.command_line import Served

GUIDE = guide("durable.md")
[PROGRAM] = blocks("python", GUIDE)
[SAID] = blocks("text", GUIDE)


def test_a_command_is_left_with_the_broker_and_its_answer_fetched_later(served: Served) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=served.data.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout == SAID, done.stderr
