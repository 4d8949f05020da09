"""The roles of callers, and what each may do.

    read      queries, events, status, the list of backups
    operate   what read may, and commands, backups
    admin     everything

A route says which role it needs.
"""

from typing import Literal

import msgspec

from bus.contract.rights import EVERYTHING, Rights
from ops.http.refusals import Forbidden

Role = Literal["read", "operate", "admin"]

_RANK: dict[Role, int] = {"read": 0, "operate": 1, "admin": 2}


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """A caller; `kind` says how the service knows the caller, and so what `name` is.

    token      by a token, or by a session that was opened with it: the token's name
    link       by a session that was opened with a link of `hyperpage console`: `console`
    local      by the secret in `admin.json`, as the command line on this machine: `admin`
    user       by the token of a user of its own, or by a certificate with its name; `rights` say what it may
    anybody    not at all, since the settings say that no token is needed: `anonymous`
    """

    name: str
    role: Role
    kind: Literal["token", "link", "local", "user", "anybody"] = "token"
    rights: Rights = EVERYTHING

    def may(self, role: Role) -> bool:
        """Whether the caller has a role. Users of their own have none: their `rights` count."""
        return self.kind != "user" and _RANK[self.role] >= _RANK[role]

    def require(self, role: Role) -> None:
        """Returns if the caller has a role.

        Raises:
            Forbidden: they lack it.
        """
        if self.kind == "user":
            raise Forbidden(
                f"{self.name} is a user of its own, and may send commands and queries alone",
                hint="nothing was changed: for anything else, use a token (`hyperpage token create`)",
            )
        if not self.may(role):
            raise Forbidden(
                f"this needs the role {role}, and {self.name} has {self.role}",
                hint=f"nothing was changed: `hyperpage token create NAME --role {role}` makes a"
                " token that may",
                needed=role,
                role=self.role,
            )
