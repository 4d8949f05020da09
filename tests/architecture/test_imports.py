"""Who may import whom: the contracts in pyproject.toml hold, and they notice what breaks them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import ROOT

PACKAGES = ("domain", "migrations", "bus", "projections", "ops")
# Beside the interpreter, so that it is this environment's own.
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


def test_the_packages_import_only_what_they_may():
    checked = lint_imports(ROOT)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "4 kept, 0 broken" in checked.stdout


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("domain", "migrations"),
        ("migrations", "domain"),
        ("bus", "projections"),
        ("projections", "bus"),
        ("bus", "ops"),
        ("projections", "ops"),
        ("domain", "apsw"),
        ("domain", "nats"),
        ("domain", "asyncio"),
        ("domain", "time"),
        ("bus", "sqlite3"),
        ("ops", "adbc_driver_sqlite"),
    ],
)
def test_a_forbidden_import_breaks_a_contract(tmp_path: Path, importer: str, imported: str):
    make_house(tmp_path, {importer: f"import {imported}\n"})

    checked = lint_imports(tmp_path)

    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert f"{importer} is not allowed to import {imported}" in checked.stdout


def test_the_allowed_imports_break_nothing(tmp_path: Path):
    make_house(
        tmp_path,
        {
            "ops": "import bus, domain, migrations, projections, cyclopts, os, time",
            "bus": "import domain, migrations, apsw, nats, asyncio, time",
            "projections": "import domain, migrations, apsw",
            "migrations": "import apsw, hashlib, pathlib",
            "domain": "import msgspec, datetime, re",
        },
    )

    checked = lint_imports(tmp_path)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_client_needs_nothing_of_the_writing_side():
    program = "import bus.client, sys; print(*(name for name in sys.modules if name.startswith('bus.')))"
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(printed.stdout.split())

    assert "bus.client" in loaded
    assert loaded.isdisjoint(
        {
            "bus.serving.intake",
            "bus.writing.writer",
            "bus.writing.group",
            "bus.publishing.relay",
            "bus.broker.server",
        }
    )


def make_house(folder: Path, sources: dict[str, str]) -> None:
    """Lays five packages under this project's contracts, each with the source that is given for it."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in PACKAGES:
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text(sources.get(package, ""))


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache", "--no-logo"], cwd=folder, capture_output=True, text=True, check=False
    )
