"""Programs in JavaScript, run beside the packages that they need, where those are."""

import shutil
from pathlib import Path

import pytest

from tests.support.repository import ROOT

# The folder into which `.ci/node-packages` installs packages.
INSTALLED = ROOT / "node_modules"
CLIENT = "@nats-io/transport-node"
JETSTREAM = "@nats-io/jetstream"
COMPILER = "typescript"
TYPES = "@types/node"
GRAFANA = "@grafana/schema"
# The folder of the generators that make types from documents, with their own packages.
GENERATORS = ".generators/node_modules"


def node_with(*packages: str) -> str:
    """The path of Node.js; skips the test where that, or one of the packages, is not there."""
    node = shutil.which("node")
    if node is None or not all((INSTALLED / package).exists() for package in packages):
        pytest.skip(f"needs node and {', '.join(packages)}: `.ci/node-packages` installs them")
    return node


def in_javascript(folder: Path, program: str) -> list[str]:
    """The command that runs a program in the folder; skips the test where it cannot be run."""
    node = node_with(CLIENT)
    # node looks for packages beside the program.
    (folder / "node_modules").symlink_to(INSTALLED)
    (folder / "program.mjs").write_text(program, encoding="utf-8")
    return [node, "program.mjs"]
