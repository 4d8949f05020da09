"""Analytics where there is no network at all: in a network namespace that has nothing in it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import ROOT
from tests.support.services.command_line import PROGRAM, environment
from tests.support.stores.backing_up import Stored

# A user other than root needs a user namespace to make a network namespace.
NAMESPACES = (["unshare", "--net"], ["unshare", "--net", "--map-root-user"])
NO_WAY_OUT = """
import socket
with socket.socket() as one:
    one.settimeout(5)
    try:
        one.connect(("192.0.2.1", 443))
    except OSError as error:
        raise SystemExit(0 if "unreachable" in str(error) else f"it was {error}")
raise SystemExit("there is a network")
"""
SECONDS = 110


@pytest.fixture(scope="module")
def namespace() -> list[str]:
    """The beginning of a command that runs without any network."""
    said = ""
    for one in NAMESPACES:
        try:
            made = subprocess.run([*one, "true"], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no `unshare` to make an empty network namespace with")
        if made.returncode == 0:
            return one
        said = made.stderr.strip()
    pytest.skip(f"an empty network namespace may not be made here: {said}")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with two backups."""
    folder = tmp_path / "data"
    stored = Stored(folder)
    for _ in range(2):
        stored.work(40)
        stored.clock.now += 1_000
        stored.backup()
    stored.close()
    return folder


def run(namespace: list[str], home: Path, *command: str | Path, stdin: str = "") -> str:
    """The output of a command whose home directory is empty, so that no extension is there already."""
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [*namespace, *map(str, command)],
        input=stdin,
        cwd=home,
        env=environment(HOME=str(home)),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def ask_everything(namespace: list[str], home: Path, program: list[str], data: Path) -> None:
    run(namespace, home, sys.executable, "-c", NO_WAY_OUT)

    def analytics(command: str, *arguments: str | Path, stdin: str = "") -> str:
        return run(namespace, home, *program, "analytics", command, *arguments, "--data", data, stdin=stdin)

    assert "exported" in analytics("export")
    # Parts that DuckDB has in extensions: JSON, times with zones, Parquet.
    zoned = "max(time) > TIMESTAMPTZ '2020-01-01 01:00+01'"
    moments = "(SELECT count(*) FROM jobs_at('2020-01-01T00:00:00Z')) = 0"
    query = f"SELECT count(data ->> 'type') > 0 AS json, {zoned} AS zoned, {moments} AS moments FROM events"
    assert analytics("sql", query, "--format", "csv").splitlines()[1] == "True,True,True"
    assert "changed" in analytics("diff", "20", "60")
    assert "true" in analytics("shell", stdin="SELECT count(*) > 0 FROM job_latency('1 hour');\n")
    analytics("database", "--out", home / "all.duckdb")
    assert (home / "all.duckdb").exists()
    # Nothing was fetched, and nothing was tried to.
    assert not (home / ".duckdb").exists()


def test_analytics_need_no_network(namespace: list[str], data: Path, tmp_path: Path):
    ask_everything(namespace, tmp_path / "home", PROGRAM, data)


@pytest.mark.prove
def test_they_are_installed_without_one_too_from_a_folder_of_wheels(
    namespace: list[str], data: Path, tmp_path: Path
):
    wheels, home, installed = tmp_path / "wheels", tmp_path / "home", tmp_path / "installed"
    fetched = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", wheels, f"{ROOT}[analytics]"],
        capture_output=True,
        text=True,
        check=False,
    )
    if fetched.returncode != 0:
        pytest.skip(f"the wheels cannot be fetched here: {fetched.stderr.strip()[-300:]}")
    run(namespace, home, sys.executable, "-m", "venv", installed)
    pip = (str(installed / "bin" / "pip"), "install", "--quiet", "--no-index", "--find-links", str(wheels))
    run(namespace, home, *pip, "hyperpage-persistence[analytics]")

    ask_everything(namespace, home, [str(installed / "bin" / "hyperpage")], data)
