"""The environment that peers are installed into: apart from ours, and kept below `.benchmark`.

Each is asked for by its name alone from the package index that pip is set up with. What can't be had is told,
with the reason, in the place of its figures.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.core.checkout import Checkout
from tests.support.repository import ROOT

CACHE = ROOT / ".benchmark"
# The versions that the figures in the documents were measured with. JetStream is our own nats-server's.
PACKAGES = {
    "umadb": "umadb==0.7.8",
    "asyncpg": "asyncpg==0.32.0",
    "eventsourcing": "eventsourcing==9.5.6",
}


class NotHereError(Exception):
    """A peer that can't be had on this machine; says why."""


def environment_with(package: str) -> Checkout:
    """An environment that has this package of `PACKAGES`; it is installed if it was missing.

    Raises:
        NotHereError: it can't be installed.
    """
    folder = CACHE / "peers"
    python = folder / "bin" / "python"
    uv = Path(sys.executable).parent / "uv"
    try:
        if not python.exists():
            _run(uv, "venv", "--quiet", "--python", sys.executable, folder)
        if subprocess.run([python, "-c", f"import {package}"], capture_output=True, check=False).returncode:
            print(f"Installing {PACKAGES[package]} into {folder} …", file=sys.stderr)
            _run(uv, "pip", "install", "--quiet", "--python", python, PACKAGES[package])
    except (subprocess.SubprocessError, OSError) as error:
        raise NotHereError(f"{PACKAGES[package]} can't be installed: {_last_line(error)}") from error
    return Checkout(folder, python)


def program_of_postgresql(name: str) -> Path:
    """A program of PostgreSQL; its package is installed if apt is there and has the rights to.

    Raises:
        NotHereError: there is none.
    """
    if (found := _postgresql(name)) is None:
        try:
            _run(ROOT / ".ci" / "postgresql")
        except (subprocess.SubprocessError, OSError) as error:
            raise NotHereError(f"PostgreSQL can't be installed: {_last_line(error)}") from error
        found = _postgresql(name)
    if found is None:
        raise NotHereError(f"no {name} of PostgreSQL is found")
    return found


def _postgresql(name: str) -> Path | None:
    # Debian keeps these programs out of the path.
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda one: int(one.parts[-3]))
    on_path = shutil.which(name)
    return versions[-1] if versions else Path(on_path) if on_path else None


def _run(*command: str | Path) -> None:
    subprocess.run([str(one) for one in command], check=True, capture_output=True, text=True)


def _last_line(error: Exception) -> str:
    said = getattr(error, "stderr", None) or str(error)
    return said.strip().splitlines()[-1]
