"""The image, built and run: small, not root, healthy, with its data in a volume; also on a stock broker."""

import json
import os
import re
import shutil
import subprocess
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

from bus.broker.server import find_nats_server
from ops.settings import Settings
from ops.version import service_version
from tests.support.machines.containers import Podman, podman_in, write_python_image
from tests.support.patience import wait_for
from tests.support.repository import ROOT
from tests.support.services.command_line import hyperpage

IMAGE, BASE, NATS = "hyperpage-persistence", "localhost/python:local", "localhost/nats-server:from-wheel"
# As compose.yaml has it: only the volume is writable, and no privilege can be gained.
SHUT = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


def test_each_setting_in_the_files_for_containers_is_one():
    names = ("Dockerfile", "compose.yaml", "compose.cluster.yaml")
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in names}
    # Variables that the files themselves ask for, and nats-server's name, are no settings.
    asked = {one for text in texts.values() for one in re.findall(r"\$\{(HYPERPAGE_\w+)", text)}
    asked |= {"HYPERPAGE_NATS_NAME"}
    named = {one for text in texts.values() for one in re.findall(r"HYPERPAGE_[A-Z_]+", text)} - asked
    assert named >= {"HYPERPAGE_DATA", "HYPERPAGE_NATS", "HYPERPAGE_HTTP"}
    assert {one.removeprefix("HYPERPAGE_").lower() for one in named} <= set(Settings.__struct_fields__)


def test_the_cluster_of_containers_is_three_nats_servers_and_three_members(tmp_path: Path):
    text = (ROOT / "compose.cluster.yaml").read_text(encoding="utf-8")
    servers = set(re.findall(r"HYPERPAGE_NATS_NAME: (\S+)", text))
    assert servers == {"nats-1", "nats-2", "nats-3"}
    assert set(re.findall(r"HYPERPAGE_MEMBER: (\S+)", text)) == {"a", "b", "c"}
    # Each member has the address of its own nats-server first.
    addresses = [found.split(",") for found in re.findall(r"HYPERPAGE_NATS: nats://.*@(\S+)", text)]
    assert {first for first, *_ in addresses} == {f"{name}:4222" for name in servers}
    assert all(set(found) == {f"{name}:4222" for name in servers} for found in addresses)
    configuration = tmp_path / "nats.conf"
    configuration.write_text(hyperpage("files", "nats-cluster.conf").out)
    for name in servers:
        assert f"@{name}:6222" in configuration.read_text()
        subprocess.run(
            [find_nats_server(), "-t", "--config", configuration],
            env={"HYPERPAGE_NATS_NAME": name, "HYPERPAGE_NATS_PASSWORD": "secret"},
            check=True,
            timeout=30,
            capture_output=True,
        )


def test_the_image_begins_with_one_content_and_installs_only_what_has_a_hash():
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    assert re.search(r"^ARG PYTHON=\S+:\S+@sha256:[0-9a-f]{64}$", lines, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", lines, re.MULTILINE)) == {"${PYTHON}"}
    installing = [line for line in lines.splitlines() if re.search(r"\bpip\b.*\b(install|wheel)\b", line)]
    assert len(installing) >= 3
    # With hashes, or from packages that are there already.
    assert [line for line in installing if "--require-hashes" not in line and "--no-index" not in line] == []


def test_everything_that_the_image_is_built_from_is_let_through():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    packages = re.search(r"^packages = (\[.*\])$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert packages is not None
    files = {"pyproject.toml", "uv.lock", "build-requirements.txt", "README.md", "LICENSE"}
    folders = {package.partition("/")[0] for package in json.loads(packages[1])}
    assert kept == {*folders, *files, "supply", "THIRD-PARTY-LICENSES.md"}


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """A podman that has the image, built from this tree and this machine's parts."""
    if os.getuid() != 0 or not (shutil.which("podman") and shutil.which("runc")):
        pytest.skip("no podman and runc as root, to build and run images with")
    folder = tmp_path_factory.mktemp("podman")
    with podman_in(folder) as podman:
        write_python_image(folder / "base.tar")
        podman("import", "--quiet", folder / "base.tar", BASE)
        # The build takes its packages from where this machine is configured to take them.
        configured = [
            one
            for name in ("/etc/pip.conf", "/etc/xdg/pip", "/opt/wheels", "/etc/ssl/certs")
            if Path(one := name).exists()
        ]
        mounts = [f"--volume={one}:{one}:ro" for one in configured]
        variables = [f"--env={name}={value}" for name, value in os.environ.items() if name.startswith("PIP_")]
        podman(
            *("build", "--quiet", "--isolation=chroot", "--format=docker", f"--build-arg=PYTHON={BASE}"),
            *("--ulimit=nofile=20000:20000", "--ulimit=nproc=50000:50000", *mounts, *variables),
            *("--tag", IMAGE, ROOT),
            seconds=900,
        )
        yield podman


# Run in the image: what it says that it is made of, and what is there.
LOOK = """
import importlib.metadata, json, os
folder = "/opt/hyperpage/share/doc/hyperpage"
installed = [[one.metadata["Name"], one.version] for one in importlib.metadata.distributions()]
with open(f"{folder}/sbom.cdx.json") as bill:
    print(json.dumps([bill.read(), installed, os.listdir(folder)]))
"""


@pytest.mark.prove
@pytest.mark.container
def test_the_image_has_what_its_bill_of_materials_says_and_what_the_lock_has(podman: Podman):
    python = ("--entrypoint", "/opt/hyperpage/bin/python3", IMAGE, "-c", LOOK)
    text, found, files = json.loads(podman("run", "--rm", *python, seconds=300))
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None
    components = json.loads(text)["components"]
    packages = {(one["name"], one["version"]) for one in components if one["purl"].startswith("pkg:pypi/")}
    installed = {(canonicalize_name(name), version) for name, version in found}
    locked = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]

    assert installed == packages | {("hyperpage-persistence", service_version())}
    assert installed <= {(one["name"], one["version"]) for one in locked}
    names = {one["name"] for one in components}
    assert names >= {"nats-server", "SQLite", "htmx", "uPlot", "obstore"}
    # Only what this image has: that extra was not asked for.
    assert "duckdb" not in names
    assert set(files) == {"LICENSE", "THIRD-PARTY-LICENSES.md", "sbom.cdx.json"}


def healthy(podman: Podman, container: str) -> bool:
    """Whether the image's health check succeeds now; podman takes several failures in a row for unhealthy."""
    return podman("healthcheck", "run", container, check=False) != "unhealthy"


@pytest.mark.prove
@pytest.mark.container
def test_the_image_serves_as_nobody_special_is_healthy_and_keeps_its_data(podman: Podman):
    size = {one: int(podman("inspect", one, "--format", "{{.Size}}")) for one in (IMAGE, BASE)}
    # Our own part, on top of Python.
    assert (size[IMAGE] - size[BASE]) / 2**20 < 150

    podman("run", "--detach", "--name", "one", *SHUT, "--volume", "data:/var/lib/hyperpage", IMAGE)
    wait_for(lambda: healthy(podman, "one"))
    assert set(podman("top", "one", "user").split()[1:]) == {"10001"}
    podman("exec", "one", "hyperpage", "send", "app_state.set", '{"key": "k", "value": 1}')
    assert json.loads(podman("exec", "one", "hyperpage", "doctor", "--json"))["status"] == "well"
    podman("stop", "--time", "30", "one")
    assert podman("inspect", "one", "--format", "{{.State.ExitCode}}") == "0"

    podman("run", "--detach", "--name", "two", *SHUT, "--volume", "data:/var/lib/hyperpage", IMAGE)
    wait_for(lambda: healthy(podman, "two"))
    row = podman("exec", "two", "hyperpage", "query", "app_state.get", '{"key": "k"}', "--json")
    assert json.loads(row)["value"] == 1


@pytest.mark.prove
@pytest.mark.container
def test_beside_a_stock_nats_server_it_is_ready_with_it_and_not_without(podman: Podman, tmp_path: Path):
    with tarfile.open(tmp_path / "nats.tar", "w") as image:
        image.add(find_nats_server().resolve(), "nats-server")
    podman("import", "--quiet", "--change", 'ENTRYPOINT ["/nats-server"]', tmp_path / "nats.tar", NATS)
    configuration = tmp_path / "nats-server.conf"
    configuration.write_text(hyperpage("files", "nats-server.conf").out)
    podman("network", "create", "bus")
    podman(
        *(
            "run",
            "--detach",
            "--network",
            "bus",
            "--name",
            "nats",
            "--env",
            "HYPERPAGE_NATS_PASSWORD=s3-cr3t",
        ),
        *("--volume", f"{configuration}:/etc/nats.conf:ro", "--volume", "nats:/data", NATS),
        *("--config", "/etc/nats.conf"),
    )
    address = "HYPERPAGE_NATS=nats://hyperpage:s3-cr3t@nats:4222"
    podman("run", "--detach", "--network", "bus", "--name", "three", *SHUT, "--env", address, IMAGE)
    wait_for(lambda: healthy(podman, "three"))
    podman("exec", "three", "hyperpage", "send", "app_state.set", '{"key": "k", "value": 1}')

    podman("kill", "nats")
    wait_for(lambda: not healthy(podman, "three"))
    podman("start", "nats")
    wait_for(lambda: healthy(podman, "three"))
    report = json.loads(podman("exec", "three", "hyperpage", "status", "--json"))
    assert report["relay"]["position"] == 1
