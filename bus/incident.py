"""A defect here, as its victim hears of it."""

import logging

from domain.errors import Internal
from hyperpage_client.incident import log_incident


def internal(logger: logging.Logger, what: str, error: BaseException, **keys: str | None) -> Internal:
    """The refusal for a defect, which says no more than the id under which `error` is logged, with `keys`."""
    incident = log_incident(logger, what, error, **keys)
    return Internal(f"internal error; incident {incident}", incident=incident)
