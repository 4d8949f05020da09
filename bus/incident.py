"""A defect here, as its victim hears of it and as the log has it."""

import logging

from bus.identifiers import new_id
from domain.errors import Internal


def internal(logger: logging.Logger, what: str, error: BaseException, **keys: str | None) -> Internal:
    """The refusal for a defect, which says no more than the id under which `error` is logged.

    `keys` stand beside it in the log: what was asked for and under which ids, never what it brought.
    """
    incident = new_id()
    known = {name: value for name, value in keys.items() if value is not None}
    logger.error("%s (incident %s)", what, incident, exc_info=error, extra={"incident": incident, **known})
    return Internal(f"internal error; incident {incident}", incident=incident)
