"""Who is let in over HTTP, as far as an operator has to know it."""

import msgspec


class AccessStanding(msgspec.Struct, frozen=True, kw_only=True):
    """Whether nobody needs a token, and why tokens that were made are not known."""

    is_open: bool = False
    problem: str | None = None


class Note(msgspec.Struct, frozen=True):
    """What is no cause of a bad health, and should be known all the same. `note` is a name that stays."""

    note: str
    message: str
    hint: str


APP_SHARED = Note(
    "app_shared",
    "several programs connect as the user app: each can read and do all that the others can",
    "make each a user of its own with `hyperpage user create`",
)
HTTP_OPEN = Note(
    "http_open",
    "HTTP is open: no token is needed, and whoever reaches it on this machine, or through a proxy,"
    " may do everything",
    "start it without --http-open, and make tokens with `hyperpage token create`",
)
