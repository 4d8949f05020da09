"""A service of tests: what its program does is an error of one kind, whatever goes wrong."""

from pathlib import Path

import pytest

from hyperpage_client.testing import service
from hyperpage_client.testing.service import NoServiceError, OwnService


def test_a_command_that_does_not_end_is_an_error_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HYPERPAGE", "sh -c 'exec tail -f /dev/null'")
    monkeypatch.setattr(service, "COMMAND_SECONDS", 0.2)

    with pytest.raises(NoServiceError, match=r"hyperpage backup create did not end within 0\.2 s"):
        OwnService(tmp_path, []).command("backup", "create")
