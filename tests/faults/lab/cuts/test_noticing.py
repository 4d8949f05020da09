"""The lab notices what it looks for: without syncs, and with one of them missing, something is broken."""

import random
from collections.abc import Callable
from functools import partial
from operator import eq
from pathlib import Path

import pytest

from tests.lab.cuts.cutting import Scenario, is_noticed, moments, moments_without, noticed
from tests.lab.cuts.experiments import recorded, recorded_of_sqlite
from tests.lab.cuts.mutants import NOT_NEEDED, key, sites_in
from tests.lab.cuts.recording import why_not_mounted
from tests.lab.cuts.scenarios import Serving
from tests.lab.cuts.small_files import Audit, Keys, Suspects, Tokens

SEED = 11
mounted = pytest.mark.skipif(why_not_mounted() is not None, reason=f"no recordings here: {why_not_mounted()}")


def test_a_store_whose_disk_ignores_syncs_is_found_to_be_broken(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    scenario = Serving(chance)
    changes = recorded_of_sqlite(scenario, tmp_path / "recorded")
    at = moments(changes, chance, 20)

    assert noticed(scenario, changes, at, tmp_path / "cut", lambda site: False) == {"not noticed": 20}
    assert noticed(scenario, changes, at, tmp_path / "cut", lambda site: True)["noticed"] > 5


@pytest.mark.parametrize("site", ["SQLite: the store", "SQLite: the store-wal", "SQLite: a folder"])
def test_a_store_that_syncs_one_kind_of_file_less_is_found_to_be_broken(tmp_path: Path, site: str) -> None:
    chance = random.Random(SEED)
    scenario = Serving(chance)
    changes = recorded_of_sqlite(scenario, tmp_path / "recorded")
    at = moments_without(changes, site, chance)

    assert is_noticed(scenario, changes, at, tmp_path / "cut", partial(eq, site))


@mounted
@pytest.mark.parametrize("made", [Tokens, Keys, Audit, Suspects])
def test_each_sync_of_small_files_is_missed_or_has_a_reason(
    tmp_path: Path, made: Callable[[random.Random], Scenario]
) -> None:
    chance = random.Random(SEED)
    scenario = made(chance)
    changes = recorded(scenario, tmp_path / "recorded")
    missed = set()
    for site in sites_in(changes):
        at = moments_without(changes, site, chance)
        if not is_noticed(scenario, changes, at, tmp_path / "cut", partial(eq, site)):
            missed.add(key(site))

    assert missed <= NOT_NEEDED.keys()
