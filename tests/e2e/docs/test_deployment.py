"""The commands in the guides to setting up and operating, carried out as they stand there."""

import re
import shlex
from collections.abc import Iterator

import pytest

from tests.support.documents.guides import blocks, guide
from tests.support.patience import wait_for
from tests.support.repository import ROOT
from tests.support.services.command_line import Served

DOCS = [guide(name) for name in ("deployment.md", "operating.md")]
LINES = [
    line.removeprefix("$ ")
    for text in DOCS
    for block in blocks("console", text)
    for line in block.splitlines()
]
# Commands of `hyperpage`, also behind a prefix that runs them as another user or in a container.
COMMANDS = sorted(
    {found[1] for line in LINES if (found := re.search(r"(?:^|-- |exec hyperpage )hyperpage (.*)", line))}
)


def test_there_are_commands_to_carry_out_and_the_files_that_are_named_are_there():
    assert {"doctor", "status", "files"} <= set(COMMANDS)
    for text in DOCS:
        for name in re.findall(r"\]\(([a-z-]+\.md)\)", text):
            assert (ROOT / "docs" / name).is_file(), name


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service with default settings that reports itself healthy, and has not only started."""
    folder = tmp_path_factory.mktemp("healthy") / "data"
    with Served(folder, "--http", "127.0.0.1:0") as served:
        wait_for(lambda: served("status").code == 0)
        yield served


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_guides_does_what_it_says(command: str, healthy: Served):
    if command.startswith(("serve", "cluster ")):
        # The service runs already, and alone; test_cluster.py has the commands for several.
        return
    said, _, file = command.partition(" > ")
    arguments = shlex.split(said)
    if "--data" in arguments:
        # The guide's directory is replaced by that of the test's service.
        place = arguments.index("--data")
        del arguments[place : place + 2]
    if "--head" in arguments:
        # A head that this audit log really had.
        arguments[arguments.index("--head") + 1] = healthy.ask("audit", "verify")["head"]
    result = healthy(*arguments)
    assert result.code == 0, result.err
    assert not file or result.out.strip()
