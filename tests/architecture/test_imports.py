"""The import contracts in pyproject.toml hold, and a forbidden import breaks them."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.repository import ROOT

PACKAGES = ("domain", "migrations", "bus", "projections", "ops", "hyperpage_client")
FORBIDDEN = [
    ("domain", "migrations"),
    ("migrations", "domain"),
    ("bus", "projections"),
    ("projections", "bus"),
    ("bus", "ops"),
    ("projections", "ops"),
    ("domain", "apsw"),
    ("domain", "nats"),
    ("domain", "asyncio"),
    ("domain", "eventsourcing"),
    ("domain", "time"),
    ("bus", "sqlite3"),
    ("ops", "adbc_driver_sqlite"),
    ("ops", "duckdb"),
    ("ops", "pyarrow"),
    ("ops", "cyclopts"),
    ("ops", "obstore"),
    ("ops", "pyrage"),
    ("bus.client", "bus.log"),
    ("hyperpage_client", "bus"),
    ("hyperpage_client.asking", "hyperpage_client.following"),
    ("domain", "hyperpage_client"),
    ("bus.worker", "apsw"),
    ("bus.contract", "bus.transport"),
    ("bus.log", "bus.writing"),
    ("bus.writing", "bus.serving"),
    ("ops.cli.terminal", "ops.cli.status"),
    ("ops.backup.restoring", "ops.backup.drill"),
    ("ops.archive.segment", "ops.archive.reading"),
    ("ops.analytics.lake", "ops.analytics.export"),
    ("ops.analytics.export", "ops.analytics.asking"),
    ("ops", "starlette"),
    ("ops.http.routing", "ops.http.routes"),
    ("ops.console.visit", "ops.console.pages"),
]
# The program beside the interpreter, which is that of this environment.
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


def test_the_packages_import_only_what_they_may():
    checked = lint_imports(ROOT)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(contracts())} kept, 0 broken" in checked.stdout


def test_a_forbidden_import_breaks_a_contract(tmp_path: Path):
    sources = dict.fromkeys((importer for importer, _ in FORBIDDEN), "")
    for importer, imported in FORBIDDEN:
        sources[importer] += f"import {imported}\n"
    make_house(tmp_path, sources)

    checked = lint_imports(tmp_path)

    assert checked.returncode == 1, checked.stdout + checked.stderr
    # Each forbidden import is reported itself, and not only as part of a longer chain.
    broken = re.findall(
        r"^(\S+) is not allowed to import (\S+):\n\n-\s+(\S+) -> (\S+) \(l", checked.stdout, re.MULTILINE
    )
    direct = {(importer, imported) for importer, imported, *link in broken if [importer, imported] == link}
    assert set(FORBIDDEN) - direct == set(), checked.stdout


def test_the_allowed_imports_break_nothing(tmp_path: Path):
    make_house(
        tmp_path,
        {
            "ops": "import bus, domain, migrations, projections, os, time",
            "ops.cli.main": "import cyclopts, ops.service",
            "bus": "import domain, hyperpage_client, migrations, apsw, nats, asyncio, time",
            "projections": "import domain, migrations, apsw",
            "migrations": "import apsw, hashlib, pathlib",
            "domain": "import msgspec, datetime, re",
        },
    )

    checked = lint_imports(tmp_path)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_client_needs_nothing_of_the_writing_side():
    program = "import bus.client, bus.worker, sys; print(*sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(printed.stdout.split())

    assert {"bus.client", "bus.worker"} <= loaded
    assert loaded.isdisjoint(
        {
            "bus.broker",
            "bus.event_store",
            "bus.log",
            "bus.publishing",
            "bus.serving",
            "bus.serving.intake",
            "bus.writing",
            "bus.writing.writer",
            "bus.writing.group",
            "bus.publishing.relay",
            "bus.broker.server",
        }
    )
    assert loaded.isdisjoint({"apsw", "duckdb", "eventsourcing", "migrations", "starlette", "uvicorn"})


def make_house(folder: Path, sources: dict[str, str]) -> None:
    """Writes the packages that the contracts name into `folder`, each empty or with its given source."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in sorted({*PACKAGES, *rooms(), *sources}):
        parts = package.split(".")
        for depth in range(1, len(parts) + 1):
            path = folder.joinpath(*parts[:depth])
            path.mkdir(exist_ok=True)
            (path / "__init__.py").write_text(sources.get(".".join(parts[:depth]), ""))


def contracts() -> list[dict[str, Any]]:
    """The contracts of this project, as pyproject.toml has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return list(project["tool"]["importlinter"]["contracts"])


def rooms() -> Iterator[str]:
    """Every package or module of ours that a contract needs to be there."""
    for contract in contracts():
        for container in contract.get("containers", ()):
            for line in contract["layers"]:
                yield from (f"{container}.{name}" for name in re.findall(r"\w+", line))
        for name in (*contract.get("source_modules", ()), *contract.get("forbidden_modules", ())):
            if name.partition(".")[0] in PACKAGES:
                yield name


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache", "--no-logo"], cwd=folder, capture_output=True, text=True, check=False
    )
