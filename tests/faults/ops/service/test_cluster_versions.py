"""A cluster is brought from an older version to this one, member by member; no answered command is lost."""

from pathlib import Path

import pytest

from tests.lab.clusters.versions import EXPERIMENT
from tests.lab.experiment import Trial


@pytest.mark.prove
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_members_of_two_versions_follow_one_log(seed: int, tmp_path: Path) -> None:
    if (why := EXPERIMENT.lacking()) is not None:
        pytest.skip(why)

    counts = EXPERIMENT.run(Trial(seed=seed, folder=tmp_path))

    print(dict(counts))
    assert counts["changes of a member's version"] == 5
