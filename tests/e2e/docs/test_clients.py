"""The guide to clients of any language, typed in word for word."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.machines.node import in_javascript
from tests.support.repository import ROOT
from tests.support.services.command_line import Served

GUIDE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
[JAVASCRIPT] = re.findall(r"```js\n(.*?)```", GUIDE, re.DOTALL)
[PRINTED] = re.findall(r"```text\n(.*?)```", GUIDE, re.DOTALL)
[SOCKET] = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


def printed(folder: Path, *command: str) -> list[str]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_client_in_javascript_prints_what_is_said(served: Served) -> None:
    program = in_javascript(served.data.parent, JAVASCRIPT)

    assert printed(served.data.parent, *program) == PRINTED.splitlines()


def test_a_socket_is_enough(served: Served) -> None:
    assert printed(served.data.parent, sys.executable, "-c", SOCKET) == ["INFO", "['app_state.set.v1']"]
