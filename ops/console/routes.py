"""Every page of the console, and what they load."""

from ops.console import event, files, job, jobs, login, overview, streams

# The first path that fits answers: that of one job takes whatever stands behind `/jobs/`.
ROUTES = (
    *files.ROUTES,
    *login.ROUTES,
    *overview.ROUTES,
    *jobs.ROUTES,
    *job.ROUTES,
    *streams.ROUTES,
    *event.ROUTES,
)
