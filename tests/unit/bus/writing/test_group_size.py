import pytest

from bus.writing.group_size import FEWEST_GROUP_COMMANDS, GROUP_COMMANDS, MAXIMUM_GROUP_COMMANDS, limit_after
from bus.writing.submission import GroupTimes


@pytest.mark.parametrize(
    ("commands", "deciding", "committing", "limit"),
    [
        pytest.param(1, 0.0002, 0.0004, GROUP_COMMANDS, id="nothing to do"),
        pytest.param(128, 0.0025, 0.0006, GROUP_COMMANDS, id="a fast disk"),
        pytest.param(128, 0.0025, 0.005, 512, id="a slow one"),
        pytest.param(512, 0.01, 0.005, 512, id="the same with more"),
        pytest.param(128, 0.0025, 0.1, MAXIMUM_GROUP_COMMANDS, id="a very slow one"),
        pytest.param(0, 0.0, 0.0001, GROUP_COMMANDS, id="nothing that was asked for"),
        pytest.param(128, 1.28, 0.005, 10, id="costly commands"),
        pytest.param(128, 10.0, 0.005, FEWEST_GROUP_COMMANDS, id="very costly ones"),
    ],
)
def test_the_slower_a_commit_the_more_commands_share_the_next(
    commands: int, deciding: float, committing: float, limit: int
):
    times = GroupTimes(100.0, 100.0 + deciding, 100.0 + deciding, 100.0 + deciding + committing)

    assert limit_after(commands, times) == pytest.approx(limit, abs=1)
