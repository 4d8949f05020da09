"""The installed version of this program: `service_version`."""

from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version

DISTRIBUTION = "hyperpage-persistence"


@cache
def service_version() -> str:
    """The installed version; `0.0.0` for a checkout that is not installed."""
    try:
        return distribution_version(DISTRIBUTION)
    except PackageNotFoundError:
        return "0.0.0"
