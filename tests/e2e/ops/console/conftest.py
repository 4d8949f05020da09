"""The console is tested in a real browser."""

import pytest

from tests.support.services.browsing import chromium


@pytest.fixture(autouse=True)
def browser_is_there() -> None:
    """Without a browser, a test is skipped before a service starts."""
    chromium()
