"""The modules of the Python client that are generated from the catalogue match the catalogue."""

import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import msgspec
import nats

import domain.errors
import hyperpage_client
import hyperpage_client.errors
from supply.python_client import CLIENT, modules


def test_what_the_client_has_of_the_catalogue_is_made_of_it():
    made = modules()

    stale = [str(path) for path, source in made.items() if (CLIENT / path).read_text() != source]
    assert stale == [], "make client"
    rooms = {path.parent for path in made if path.parent.name != "sync"}
    found = {path.relative_to(CLIENT) for room in rooms for path in (CLIENT / room).glob("*.py")}
    assert {path for path in found if path.stem not in ("__init__", "table")} == {
        path for path in made if path.parent in rooms
    }


def test_the_clients_errors_are_the_domains():
    def codes(errors: ModuleType) -> dict[str, str]:
        kinds = [
            kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)
        ]
        return {kind.__name__: getattr(kind, "code", "") for kind in kinds}

    clients = codes(hyperpage_client.errors)

    assert clients.pop("UnknownRefusal") == "unknown"
    assert clients == codes(domain.errors)


def test_the_distribution_needs_nats_py_and_msgspec_alone(tmp_path: Path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=CLIENT.parent,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    beside = tmp_path / "beside"
    beside.mkdir()
    for library in (msgspec, nats):
        folder = Path(library.__path__[0])
        (beside / folder.name).symlink_to(folder)
    # Without the folder of this environment's packages, and that of the repository.
    program = "import sys; sys.path += sys.argv[1:]; import hyperpage_client, hyperpage_client.worker"
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, wheel, beside], cwd=tmp_path, check=True, timeout=60
    )

    inside = zipfile.ZipFile(wheel).namelist()
    assert "hyperpage_client/py.typed" in inside
    assert {Path(name).parts[0] for name in inside} == {
        "hyperpage_client",
        f"hyperpage_client-{version('hyperpage-persistence')}.dist-info",
    }


def test_whatever_the_package_names_is_there():
    assert all(hasattr(hyperpage_client, name) for name in hyperpage_client.__all__)
    assert not hasattr(hyperpage_client, "never")
