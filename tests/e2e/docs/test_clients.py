"""The guide to clients of any language, typed in word for word."""

import subprocess
import sys
from pathlib import Path

from tests.support.documents.guides import blocks, guide
from tests.support.machines.node import in_javascript
from tests.support.services.command_line import Served

GUIDE = guide("clients.md")
[JAVASCRIPT] = blocks("js", GUIDE)
[PRINTED] = blocks("text", GUIDE)
[SOCKET] = blocks("python", GUIDE)


def printed(folder: Path, *command: str) -> list[str]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_client_in_javascript_prints_what_is_said(served: Served) -> None:
    program = in_javascript(served.data.parent, JAVASCRIPT)

    assert printed(served.data.parent, *program) == PRINTED.splitlines()


def test_a_socket_is_enough(served: Served) -> None:
    assert printed(served.data.parent, sys.executable, "-c", SOCKET) == ["INFO", "['app_state.set.v1']"]
