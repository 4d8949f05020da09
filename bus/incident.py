"""`internal`: the refusal that a caller gets when a defect of the service makes its request fail."""

import logging

from domain.errors import Internal
from hyperpage_client.incident import log_incident


def internal(logger: logging.Logger, what: str, error: BaseException, **keys: str | None) -> Internal:
    """The refusal for a defect. It has only an id, under which `error` is logged together with `keys`."""
    incident = log_incident(logger, what, error, **keys)
    return Internal(f"internal error; incident {incident}", incident=incident)
