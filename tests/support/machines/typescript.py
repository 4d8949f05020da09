"""Programs in TypeScript that use the client, compiled strictly, beside the client as it is installed."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.machines.node import CLIENT, COMPILER, INSTALLED, JETSTREAM, TYPES, node_with
from tests.support.repository import ROOT

PACKAGE = ROOT / "clients/typescript"
OPTIONS = "--strict --target es2022 --module nodenext --types node --skipLibCheck"


def needed_node() -> str:
    """The path of Node.js; skips the test where that, or what the client needs, is not there."""
    return node_with(CLIENT, JETSTREAM, COMPILER, TYPES)


def compiled(node: str, folder: Path, sources: Mapping[str, str]) -> Path:
    """The folder, with each program as a module of JavaScript, `.mjs`."""
    modules = folder / "node_modules"
    modules.mkdir()
    for installed in INSTALLED.iterdir():
        (modules / installed.name).symlink_to(installed)
    package = modules / "hyperpage-client"
    package.mkdir()
    shutil.copy(PACKAGE / "package.json", package)
    _compile(node, folder, "--project", str(PACKAGE), "--outDir", str(package / "dist"))
    for name, source in sources.items():
        (folder / name).write_text(source, encoding="utf-8")
    _compile(node, folder, *OPTIONS.split(), *sources)
    return folder


def _compile(node: str, folder: Path, *arguments: str) -> None:
    compiler = INSTALLED / COMPILER / "bin" / "tsc"
    done = subprocess.run(
        [node, str(compiler), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
