"""The log record of a defect: `log_incident`."""

import logging

from hyperpage_client.identifiers import new_id


def log_incident(logger: logging.Logger, what: str, error: BaseException, **keys: str | None) -> str:
    """The id under which a defect is logged, with `error`.

    `keys` are logged with it: what was asked for and under which ids, never its content.
    """
    incident = new_id()
    known = {name: value for name, value in keys.items() if value is not None}
    logger.error("%s (incident %s)", what, incident, exc_info=error, extra={"incident": incident, **known})
    return incident
