"""Every page of the console, and what they load."""

from ops.console import (
    backups,
    configuration,
    configurations,
    dead_letters,
    event,
    files,
    job,
    jobs,
    login,
    overview,
    projections,
    rate_limits,
    state,
    streams,
    tail,
)

# The first path that fits answers: that of one row takes whatever stands behind its table's.
ROUTES = (
    *files.ROUTES,
    *login.ROUTES,
    *overview.ROUTES,
    *jobs.ROUTES,
    *job.ROUTES,
    *streams.ROUTES,
    *event.ROUTES,
    *tail.ROUTES,
    *configurations.ROUTES,
    *configuration.ROUTES,
    *rate_limits.ROUTES,
    *state.ROUTES,
    *backups.ROUTES,
    *projections.ROUTES,
    *dead_letters.ROUTES,
)
