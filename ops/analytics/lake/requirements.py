"""The packages that analytics needs beyond those of the service."""

from importlib.util import find_spec

from ops.analytics.lake.errors import AnalyticsError

# Module and distribution.
_NEEDED = {"duckdb": "duckdb", "pyarrow": "pyarrow", "adbc_driver_sqlite": "adbc-driver-sqlite"}


def require_installed() -> None:
    """Returns if everything is there.

    Raises:
        AnalyticsError: something is missing; the hint says how to get it.
    """
    missing = [name for module, name in _NEEDED.items() if find_spec(module) is None]
    if missing:
        raise AnalyticsError(
            "not_installed",
            f"analytics needs {', '.join(missing)}",
            "pip install 'hyperpage-persistence[analytics]'",
        )
