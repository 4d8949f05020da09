"""`hyperpage backup …` as a process of its own, at low priority: `run_backup_command`.

The process runs the same command as an operator would. It does not share Python's lock with the commands that
wait, and may take as long as it needs.
"""

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

# The niceness of the process: commands come first, since their senders wait for answers.
NICENESS = 10
# Environment variables that the process does not get: passwords of the broker, and the address of the
# supervisor, which watches the service alone. It does get the settings and the keys of buckets.
WITHHELD = frozenset(
    {"HYPERPAGE_NATS", "HYPERPAGE_NATS_RELAY", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"}
)


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a command. `message` and `hint` are its texts if it failed."""

    succeeded: bool
    answer: dict[str, Any]
    message: str
    hint: str


async def run_backup_command(data: Path, command: str, *options: str, name: str | None = None) -> Ran:
    """Runs a command to its end. `name` may begin with dashes.

    If the caller is cancelled, the process is ended, too; a backup that it had begun does not count.
    """
    process = await asyncio.create_subprocess_exec(
        # `-P`: a folder `ops` in the working directory must not be run instead.
        *(sys.executable, "-P", "-m", "ops.cli", "backup", command),
        *("--data", str(data), "--json", *options),
        *(() if name is None else ("--", name)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name not in WITHHELD}
        | {"PYTHONPATH": _with_ours(os.environ.get("PYTHONPATH"))},
    )
    try:
        with suppress(ProcessLookupError, PermissionError):
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
    lines = err.decode(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    hints = [line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")]
    return Ran(
        succeeded=process.returncode == 0,
        answer=_decoded(out),
        message=errors[0] if errors else lines[-1],
        hint=" ".join(hints),
    )


def _decoded(out: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(out, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def _with_ours(path: str | None) -> str:
    """The `PYTHONPATH` with the folder of this program's packages in front."""
    ours = str(Path(__file__).parents[2])
    return ours if not path else f"{ours}{os.pathsep}{path}"
