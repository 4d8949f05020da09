"""The users of a running service: `Registry` finds them by name, and passes them on to the broker."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from bus.broker.server import NatsServer, NatsServerError
from bus.broker.users import ADMIN, APP, BrokerUser
from bus.contract.rights import Principal
from bus.serving.administration import AdministrationVerb, NoArguments
from bus.serving.stream_requests import ApiRefusal
from domain.errors import NotFound, Unavailable
from ops.security.users import User, UserError, UserFile
from ops.store.troubles import hint_of, message_of

# How often the file is checked for changes, and replaced keys for their expiry.
LOOK_SECONDS = 1.0
MAXIMUM_OLD_MS = 30 * 24 * 3600 * 1000

logger = logging.getLogger(__name__)


class RotateLogin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another password for the application or the operator; the old one is good for `old_ms` still."""

    user: Literal["app", "admin"]
    old_ms: Annotated[int, msgspec.Meta(ge=0, le=MAXIMUM_OLD_MS)]


class Registry:
    """The users of one data directory, as of the last reading. Used from the event loop's thread only."""

    def __init__(self, data: Path) -> None:
        """Reads the users.

        Raises:
            UserError: they cannot be read.
        """
        self._file = UserFile(data)
        self._users: list[User] = []
        self._principals: dict[str | None, Principal] = {}
        self._stamp: tuple[int, ...] = ()
        self._read()
        self._changing = asyncio.Lock()
        # The users that the broker knows: from its start, or set last; `None` while setting them may have
        # failed.
        self._told: list[BrokerUser] | None = self.broker_users
        self._are_followers_looked_at = True

    @property
    def users(self) -> Sequence[User]:
        """All users with a valid key."""
        return [one for one in self._users if one.good_keys(_now())]

    @property
    def broker_users(self) -> list[BrokerUser]:
        """The same users, in the form that the broker takes."""
        now = _now()
        return [one.as_broker_user(now) for one in self.users]

    def principal_of(self, user: str | None) -> Principal | None:
        """The principal of a user that the broker names; `None` if there is no such user, or no longer."""
        return self._principals.get(user)

    def verbs(
        self,
        nats_server: NatsServer | None,
        announce: Callable[[], None],
        on_change: Callable[[], Awaitable[None]],
    ) -> tuple[AdministrationVerb, ...]:
        """The requests by which the command line makes a change of users take effect.

        `announce` writes the file by which clients find the service, with the logins as they are now.
        `on_change` is called when the users have changed.
        """

        async def rotate(request: RotateLogin) -> dict[str, Any]:
            if nats_server is None:
                raise NotFound("the nats-server is yours: change the passwords there, and in the settings")
            try:
                await nats_server.rotate(request.user, old_ms=request.old_ms)
            except (NatsServerError, OSError) as error:
                raise Unavailable(message_of(error), hint=hint_of(error)) from error
            announce()
            return {"user": request.user}

        async def reload(_: Any) -> dict[str, Any]:
            try:
                self._read()
                await self._take_effect(nats_server, on_change)
            except UserError as error:
                raise Unavailable(
                    str(error), hint="users are as they were: put `users.json` right, and try again"
                ) from error
            except (NatsServerError, OSError) as error:
                raise Unavailable(message_of(error), hint=hint_of(error)) from error
            except ApiRefusal as refusal:
                raise Unavailable(
                    f"the users are taken in, but what they followed may go on: {refusal}", hint="try again"
                ) from refusal
            return {"users": [one.name for one in self.users], "broker": nats_server is not None}

        return (
            AdministrationVerb(name="user.reload", shape=NoArguments, carry_out=reload),
            AdministrationVerb(name="user.rotate", shape=RotateLogin, carry_out=rotate),
        )

    async def run(self, nats_server: NatsServer | None, on_change: Callable[[], Awaitable[None]]) -> None:
        """Applies expired keys and changes of the file, until it is cancelled.

        A command that changed the file may have ended before it told the service, and the broker may have
        been away. `on_change` is as for `verbs`.
        """
        failure = ""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                try:
                    if self._file.stamp() != self._stamp:
                        self._read()
                finally:
                    # Keys expire also while the file cannot be read.
                    await self._take_effect(nats_server, on_change)
                failure = ""
            except (UserError, NatsServerError, ApiRefusal, OSError) as error:
                if failure != message_of(error):
                    failure = message_of(error)
                    logger.warning("users whose rights have ended may still be let in: %s", failure)

    async def _take_effect(
        self, nats_server: NatsServer | None, on_change: Callable[[], Awaitable[None]]
    ) -> None:
        async with self._changing:
            now = self.broker_users
            self._note_principals()
            has_expired = nats_server is not None and nats_server.has_expired_logins
            # Only after a change: while the broker takes new users, it may refuse connections that are being
            # made.
            if now != self._told or has_expired:
                self._told, self._are_followers_looked_at = None, False
                if nats_server is not None:
                    await nats_server.set_users(now)
                self._told = now
            if not self._are_followers_looked_at:
                await on_change()
                self._are_followers_looked_at = True

    def _read(self) -> None:
        # Taken before the file is read, so that a change meanwhile is read the next time.
        stamp = self._file.stamp()
        self._users = self._file.read()
        self._stamp = stamp
        self._note_principals()

    def _note_principals(self) -> None:
        # `None` stands for a sender that the broker does not name, since all share one account there.
        principals = {None: Principal(), APP: Principal(name=APP), ADMIN: Principal(name=ADMIN)}
        for one in self.users:
            principals[one.name] = Principal(one.name, one.rights, is_user=True)
        # Replaced in one step, since the writer's thread reads it at any time.
        self._principals = principals


def _now() -> int:
    return time.time_ns() // 1_000_000
