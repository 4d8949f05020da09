"""The API: every route of it, in the order in which they are tried, and what their descriptions refer to."""

from collections.abc import Mapping

import msgspec

from ops.http.routes import admin, events, health, legacy, messages, session

# The first path that fits answers: `/api/v1/{…}` last, which takes whatever is left below it.
ROUTES = (
    *health.ROUTES,
    *session.ROUTES,
    *events.ROUTES,
    *legacy.ROUTES,
    *admin.ROUTES,
    *messages.ROUTES,
)
SCHEMAS: Mapping[str, type[msgspec.Struct]] = {**session.SCHEMAS, **legacy.SCHEMAS, **admin.SCHEMAS}
