"""Every page of the console, and what they load."""

from ops.console import files, jobs, login, overview

ROUTES = (*files.ROUTES, *login.ROUTES, *overview.ROUTES, *jobs.ROUTES)
