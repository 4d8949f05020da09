"""Clients with a certificate: `token_of_certificate` and `user_of_certificate` find them by its name."""

from starlette.requests import Request

from ops.http.access.tokens import Token, Tokens
from ops.security.users import KnownUsers, User

# The key of the scope's function that gives the name in the client's certificate, if it is valid now.
NAME = "hyperpage.certificate_name"


def token_of_certificate(request: Request, tokens: Tokens) -> Token | None:
    """The token with the name in the client's certificate: it gives the role, until it is revoked."""
    name = _name(request)
    return None if name is None else tokens.named(name)


def user_of_certificate(request: Request, users: KnownUsers) -> User | None:
    """The user of its own with the name in the client's certificate."""
    name = _name(request)
    return None if name is None else users.named(name)


def _name(request: Request) -> str | None:
    return request.scope[NAME]() if NAME in request.scope else None
