"""uv.lock is the same wherever it was written."""

import json
import re
import subprocess
import tomllib
from urllib.parse import urlsplit

import pytest

from tests.support.repository import ROOT

THIS = "tests/architecture/test_lock.py"
TEXTS = {".py", ".md", ".toml", ".service", ".html", ".yaml", ".conf", ""}
# Our own name, with an extra or behind an installer: on the index, that name is another project's, or free.
TOLD_TO_INSTALL = (
    r"hyperpage-persistence\[|\b(?:pipx?|uvx|uv tool|uv pip|uv) (?:install|add) [^\n`]*\bhyperpage-"
)


def test_packages_come_from_the_public_index_and_not_from_where_one_machine_takes_them():
    packages = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    assert [one["name"] for one in packages if "editable" in one["source"]] == ["hyperpage-persistence"]
    indexes = {one["source"]["registry"] for one in packages if "editable" not in one["source"]}
    assert indexes == {"https://pypi.org/simple"}
    files = [file["url"] for one in packages for file in [*one.get("wheels", []), one.get("sdist")] if file]
    assert {urlsplit(url).netloc for url in files} == {"files.pythonhosted.org"}


def test_nobody_is_told_to_install_a_name_that_is_not_ours_on_the_index():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # The first two define this project's own extras; the test installs from wheels, without a network.
    fine = {"pyproject.toml", "uv.lock", "tests/e2e/ops/analytics/test_offline.py", THIS}
    told = [
        f"{name}: {found[0]}"
        for name in tracked.split()
        if name not in fine and (ROOT / name).suffix in TEXTS
        for found in re.finditer(TOLD_TO_INSTALL, (ROOT / name).read_text(errors="replace"))
    ]
    assert told == []


def test_what_installs_and_builds_is_pinned_by_hashes_as_the_lock_has_it():
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    locked = {one["name"]: one for one in lock}
    (ours,) = (one for one in lock if "editable" in one["source"])
    wanted, waiting = set(), [one["name"] for one in ours["dev-dependencies"]["build"]]
    while waiting:
        if (name := waiting.pop()) not in wanted:
            wanted.add(name)
            waiting += [one["name"] for one in locked[name].get("dependencies", [])]
    assert wanted >= {"uv", "hatchling"}

    text = (ROOT / "build-requirements.txt").read_text(encoding="utf-8")
    written = {
        found[1]: (found[2], set(re.findall(r"--hash=(\S+)", found[3])))
        for found in re.finditer(r"^(\S+)==(\S+)((?: \\\n    --hash=\S+)+)$", text, re.MULTILINE)
    }
    # Every line of the file belongs to one of these requirements.
    assert len(text.splitlines()) == sum(1 + len(hashes) for _, hashes in written.values())
    assert written == {
        name: (one["version"], {file["hash"] for file in [*one["wheels"], one["sdist"]]})
        for name in wanted
        for one in [locked[name]]
    }


@pytest.mark.parametrize("folder", ["tests/support/javascript", "tests/support/javascript/generators"])
def test_packages_of_javascript_are_pinned_by_hashes_and_name_no_registry(folder: str):
    text = (ROOT / folder / "package-lock.json").read_text(encoding="utf-8")
    lock = json.loads(text)
    wanted = json.loads((ROOT / folder / "package.json").read_text(encoding="utf-8"))
    assert lock["packages"][""]["dependencies"] == wanted["dependencies"]
    assert {one.removeprefix("node_modules/") for one in lock["packages"]} >= wanted["dependencies"].keys()
    installed = [one for name, one in lock["packages"].items() if name]
    assert [one for one in installed if not one["integrity"].startswith("sha512-")] == []
    assert [one for one in installed if "resolved" in one] == []


def test_nothing_of_packages_of_javascript_is_run_as_they_are_installed():
    installs = re.findall(r"\bnpm ci .*", (ROOT / ".ci" / "node-packages").read_text(encoding="utf-8"))
    assert len(installs) == 2
    assert all(" --ignore-scripts " in one for one in installs)
