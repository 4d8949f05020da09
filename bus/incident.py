"""A defect here, as its victim hears of it and as the log has it."""

import logging

from bus.identifiers import new_id
from domain.errors import Internal


def internal(logger: logging.Logger, what: str, error: BaseException) -> Internal:
    """The refusal for a defect, which says no more than the id under which `error` is logged."""
    incident = new_id()
    logger.error("incident %s: %s", incident, what, exc_info=error)
    return Internal(f"internal error; incident {incident}", incident=incident)
