"""Fixtures of the tests of exports."""

from pathlib import Path

import pytest


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """The folder of a lake that is not there yet."""
    return tmp_path / "lake"
