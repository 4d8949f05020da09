"""Clients that show a certificate: `token_of_certificate` maps it to what they may."""

from starlette.requests import Request

from ops.http.access.tokens import Token, Tokens
from ops.security.users import KnownUsers, User

# Where the connection says what the name in the client's certificate is, if that counts at the moment.
NAME = "hyperpage.certificate_name"


def token_of_certificate(request: Request, tokens: Tokens) -> Token | None:
    """The token that has the name in the client's certificate: it says the role, and ends it when revoked."""
    name = _name(request)
    return None if name is None else tokens.named(name)


def user_of_certificate(request: Request, users: KnownUsers) -> User | None:
    """The user of its own that has the name in the client's certificate."""
    name = _name(request)
    return None if name is None else users.named(name)


def _name(request: Request) -> str | None:
    return request.scope[NAME]() if NAME in request.scope else None
