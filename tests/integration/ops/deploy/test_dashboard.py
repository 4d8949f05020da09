"""The dashboard is what Grafana's own types of it allow, and its panels stand beside one another."""

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from ops import deploy
from tests.support.machines.node import COMPILER, GRAFANA, INSTALLED, TYPES, node_with
from tests.support.repository import ROOT

TEXT = (Path(deploy.__file__).parent / "grafana-dashboard.json").read_text(encoding="utf-8")
ALLOWED = ROOT / "tests" / "support" / "javascript" / "grafana.mts"
# Into how many columns Grafana divides a dashboard.
COLUMNS = 24


def complaints(folder: Path, dashboard: str) -> str:
    """The compiler's errors about a dashboard; skips the test where Grafana's types are missing."""
    node = node_with(COMPILER, TYPES, GRAFANA)
    (folder / "node_modules").symlink_to(INSTALLED)
    shutil.copy(ALLOWED, folder)
    program = 'import type { OurDashboard } from "./grafana.mjs";\nexport const dashboard: OurDashboard = '
    (folder / "dashboard.mts").write_text(f"{program}{dashboard};\n", encoding="utf-8")
    settings = "--noEmit --strict --target es2022 --module nodenext --skipLibCheck --types node"
    done = subprocess.run(
        [node, str(INSTALLED / COMPILER / "bin" / "tsc"), *settings.split(), "dashboard.mts"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == (done.stdout == ""), done.stderr
    return done.stdout


def test_grafana_s_types_allow_all_that_the_dashboard_holds(tmp_path: Path):
    assert complaints(tmp_path, TEXT) == ""


def test_what_grafana_does_not_know_is_found(tmp_path: Path):
    mistakes = {
        '"textMode": "name"': '"textMode": "nome"',
        '"fillOpacity": 10': '"fillOpaqueness": 10',
        '"includeAll": true': '"includesAll": true',
        '"w": 6': '"w": "six"',
    }
    wrong = TEXT
    for right, mistake in mistakes.items():
        assert right in wrong
        wrong = wrong.replace(right, mistake, 1)

    said = complaints(tmp_path, wrong)

    for mistake in ("nome", "fillOpaqueness", "includesAll", "'string' is not assignable to type 'number'"):
        assert mistake in said


def test_no_two_panels_share_a_place_or_a_name():
    panels: list[Any] = json.loads(TEXT)["panels"]
    for name in ("id", "title"):
        assert [one for one, times in Counter(panel[name] for panel in panels).items() if times > 1] == []
    taken = Counter(
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    )
    assert max(taken.values()) == 1
    assert max(x for x, _ in taken) < COLUMNS
    assert [panel["title"] for panel in panels if not panel["targets"]] == []
