"""The API: all its routes, in the order in which they are tried, and the structs that they refer to."""

from collections.abc import Mapping

import msgspec

from ops.http.routes import admin, events, health, legacy, messages, session

# The first path that matches answers. `/api/v1/{…}` is last, since it matches every path below it.
ROUTES = (
    *health.ROUTES,
    *session.ROUTES,
    *events.ROUTES,
    *legacy.ROUTES,
    *admin.ROUTES,
    *messages.ROUTES,
)
SCHEMAS: Mapping[str, type[msgspec.Struct]] = {**session.SCHEMAS, **legacy.SCHEMAS, **admin.SCHEMAS}
