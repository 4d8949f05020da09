"""Connecting to NATS: the one place where it is done."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from nats.errors import Error as NatsError

from hyperpage_client.tasks import finished_within
from hyperpage_client.transport.access import (
    Access,
    asks_for_tls,
    checked_addresses,
    has_credentials,
    user_in,
    without_credentials,
)
from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.transport.explained import explained, is_final

# No files: nothing to show beside the address, and the authorities that the system trusts.
NOTHING_MORE = Access()
# The errors of a connection that is cut off without a reason.
_CUT_OFF = (ConnectionResetError, BrokenPipeError)


class NotConnectedError(RuntimeError):
    """No nats-server accepted the connection; the message says why, if that is known, and `hint` what to do.

    `said` is what the server said; of several, what each one said, behind its address. `is_cut_off` is
    whether one ended a connection that was being made, and did not say why.
    """

    def __init__(
        self, servers: list[str], within_seconds: float, said: str, hint: str, *, is_cut_off: bool = False
    ) -> None:
        why = said or f"no answer within {within_seconds:g} s"
        at = f" at {without_credentials(servers[0]).rpartition('://')[2]}" if len(servers) == 1 else ""
        super().__init__(f"no nats-server lets us in{at}: {why}")
        self.said = said
        self.hint = hint
        self.is_cut_off = is_cut_off


async def connect(
    url: str,
    *,
    inbox_prefix: str,
    within_seconds: float,
    access: Access = NOTHING_MORE,
    again_after_seconds: float | None = None,
    on_error: Callable[[str], None] = lambda said: None,
    client: LeanClient | None = None,
    **options: Any,
) -> LeanClient:
    """A client that is connected: `client`, if one is given.

    `url` may name several nats-servers of one cluster, with commas between them: any that is up will do. They
    are asked in that order, and so are those that they name; with `dont_randomize=False`, in any order.

    If the address begins with `tls://`, or `access` has an authority or a certificate, nothing is sent
    unencrypted, or to a server that its certificate does not name. That holds for each later connection, and
    for addresses that a server has named.

    A connection that is lost is made again for ever, `again_after_seconds` after each attempt that failed; if
    that is None, it stays lost. Once connected, `on_error` is called with each error; before that, the last
    error is raised. `options` are those of nats-py's `connect`.

    Raises:
        NotConnectedError: no server accepted the connection in that time, or none ever will; the client is
            closed.
    """
    client = client or LeanClient()
    servers = _checked(url, access, within_seconds)
    refusals = _Refusals(servers, is_nameless=access == NOTHING_MORE and not has_credentials(url))
    is_connected = False

    async def note(error: Exception) -> None:
        if is_connected:
            on_error(explained(error)[0])
        else:
            refusals.note(client.asked, error)

    if again_after_seconds is None:
        # Without `allow_reconnect`, nats-py asks no second server; with these numbers, it asks each twice.
        options = {"max_reconnect_attempts": 1, "reconnect_time_wait": 0, **options}
        options["allow_reconnect"] = len(servers) > 1
    else:
        options |= {"max_reconnect_attempts": -1, "reconnect_time_wait": again_after_seconds}
    client.access, client.requires_tls = access, asks_for_tls(servers[0]) or access.asks_for_tls
    servers, user = _apart(servers)
    options = {"dont_randomize": True, **options, **user}
    try:
        await finished_within(
            within_seconds, client.connect(servers, inbox_prefix=inbox_prefix, error_cb=note, **options)
        )
    except BaseException as error:
        await client.close()
        if not isinstance(error, NatsError | OSError | TimeoutError):
            raise
        raise refusals.as_error(servers, within_seconds, error) from error
    client.options["allow_reconnect"] = again_after_seconds is not None
    is_connected = True
    return client


class _Refusals:
    """The last error of each nats-server that the address names, before one accepts the connection."""

    def __init__(self, servers: list[str], *, is_nameless: bool) -> None:
        self._is_nameless = is_nameless
        self._last: dict[str, Exception | None] = {_place(one): None for one in servers}

    def note(self, server: str, error: Exception) -> None:
        """Notes an error of a server; raises it if asking any of the servers again would change nothing."""
        place = _place(server)
        if place not in self._last:
            # Another server has named it.
            return
        if self._last.get(place) is None or not isinstance(error, _CUT_OFF):
            # A server that refuses says why, and cuts the connection off; which of the two arrives is chance.
            self._last[place] = error
        if all(last is not None and is_final(last) for last in self._last.values()):
            raise error

    def as_error(self, servers: list[str], within_seconds: float, error: BaseException) -> NotConnectedError:
        """The error with what each server said."""
        said, hint = self._said(error)
        if self._is_nameless and "Authorization Violation" in said:
            hint = "no user stands in the address, and no credentials are given"
        is_cut_off = any(isinstance(last, _CUT_OFF) for last in self._last.values())
        return NotConnectedError(servers, within_seconds, said, hint, is_cut_off=is_cut_off)

    def _said(self, error: BaseException) -> tuple[str, str]:
        if len(self._last) == 1:
            return explained(next(iter(self._last.values())) or error)
        found = {place: explained(last) if last else ("no answer", "") for place, last in self._last.items()}
        said = "; ".join(f"{place}: {words}" for place, (words, _) in found.items())
        return said, next((hint for _, hint in found.values() if hint), "")


def _place(url: str) -> str:
    """Host and port of a checked address."""
    place = without_credentials(url).rpartition("://")[2]
    return place if urlsplit(f"//{place}").port else f"{place.rstrip(':')}:4222"


def _apart(servers: list[str]) -> tuple[list[str], dict[str, str]]:
    """The addresses without their user, and the user, if it is the same in all of them."""
    users = [user_in(one) for one in servers]
    if any(one != users[0] for one in users):
        return servers, {}
    # nats-py sends a user that stands in an address to that server alone, and one that is given apart also
    # to servers that another one names. With TLS, those are checked like these; without TLS, an attacker who
    # can name a server has read the user already.
    return [without_credentials(one) for one in servers], users[0]


def _checked(url: str, access: Access, within_seconds: float) -> list[str]:
    """The addresses, after a check of them and of the files.

    Raises:
        NotConnectedError: an address or a file is not valid.
    """
    servers: list[str] = []
    try:
        servers = checked_addresses(url)
        access.require_sound(",".join(servers))
    except OSError as error:
        raise NotConnectedError(servers, within_seconds, *explained(error)) from error
    return servers
