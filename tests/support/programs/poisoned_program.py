"""A service that some commands take down, as a defect would.

    python -m tests.support.programs.poisoned_program KIND serve --data DIR …

A command for the key `poison` takes it down, in the way that KIND says. One for the key `waits` makes the
file DIR/waits when it is being decided, and waits for the file DIR/go.
"""

import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

from bus.contract import codec
from bus.serving.durable.intake import DurableIntake
from bus.writing.group import Group
from ops.cli.main import run


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _freeze() -> None:
    # Backtracking holds the interpreter's lock, so no other thread runs.
    re.match(r"(a+)+$", "a" * 64 + "b")


_DEEDS = {"kill": _kill, "freeze": _freeze}


def poison(kind: str, data: Path) -> None:
    """Changes this process so that a poisonous command takes it down.

    `read` kills it while a command is read, before it is decided; `answered` kills it behind the commit,
    before the answer is kept, until the file DIR/go exists.
    """
    if kind == "read":
        find = codec.findings_in

        def findings_in(content: bytes) -> Any:
            if b'"poison"' in content:
                _kill()
            return find(content)

        codec.findings_in = findings_in
    if kind == "answered":
        answered = DurableIntake.answered

        def answered_to_nobody(self: DurableIntake, submissions: Any) -> None:
            if not (data / "go").exists():
                _kill()
            answered(self, submissions)

        DurableIntake.answered = answered_to_nobody  # type: ignore[method-assign]
    decide = Group._decide

    def decide_poisoned(self: Group, request: Any) -> Any:
        key = getattr(request.command, "key", None)
        if key == "poison" and kind in _DEEDS:
            _DEEDS[kind]()
        while key == "waits" and not (data / "go").exists():
            (data / "waits").touch()
            time.sleep(0.005)
        return decide(self, request)

    Group._decide = decide_poisoned  # type: ignore[method-assign]


if __name__ == "__main__":
    kind, *arguments = sys.argv[1:]
    poison(kind, Path(arguments[arguments.index("--data") + 1]))
    sys.exit(run(arguments))
