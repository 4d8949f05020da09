"""`Reading`: one policy as a platform told it at one moment."""

import msgspec


class Reading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A platform's report on one policy; what it leaves out is not known from here.

    Several policies may bind one limit (per second and per hour, say); one without a name has the empty name.
    `near_limit` is a platform's own warning, where it gives no counts.
    """

    policy: str = ""
    remaining: int | None = None
    limit: int | None = None
    used: int | None = None
    reset_time: int | None = None
    window_ms: int | None = None
    near_limit: bool = False
