"""Connecting to NATS: the one place where it is done."""

from collections.abc import Callable
from typing import Any

from nats.errors import Error as NatsError

from bus.tasks import finished_within
from bus.transport.access import Access, asks_for_tls, checked_address, user_in
from bus.transport.connection import LeanClient
from bus.transport.explained import explained, is_final

# Who said nothing but to be let in, and trusts whom the system trusts.
NOTHING_MORE = Access()


class NotConnectedError(RuntimeError):
    """No nats-server let us in; the message says why, as far as anybody said it, and `hint` what to do."""

    def __init__(self, url: str, within_seconds: float, said: str, hint: str) -> None:
        why = said or f"no answer within {within_seconds:g} s"
        at = f" at {url.rpartition('@')[2]}" if url else ""
        super().__init__(f"no nats-server lets us in{at}: {why}")
        self.said = said
        self.hint = hint


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
    """A connection that stands; `client`, where one is given.

    Where the address begins with `tls://`, or `access` has an authority or a certificate, nothing is said
    that is not encrypted, and only to whom the certificate names; also when it is made again, and at
    addresses that the server has told.

    One that is lost is made again for ever, `again_after_seconds` after each attempt that failed; where that
    is None, it stays lost. `on_error` hears of each error from the time that the connection stands; before
    that, the last one is raised. `options` are those of nats-py's `connect`.

    Raises:
        NotConnectedError: nobody let us in within that time, or never will; the client is closed.
    """
    client = client or LeanClient()
    last: Exception | None = None
    is_connected = False

    async def note(error: Exception) -> None:
        nonlocal last
        if last is None or not isinstance(error, ConnectionResetError | BrokenPipeError):
            # A server that refuses says why, and ends; which of it arrives, is chance.
            last = error
        if is_connected:
            on_error(explained(error)[0])
        elif is_final(error):
            # Asking again would get the same answer.
            raise error

    if again_after_seconds is None:
        options["allow_reconnect"] = False
    else:
        options |= {"max_reconnect_attempts": -1, "reconnect_time_wait": again_after_seconds}
    address = _checked(url, access, within_seconds)
    client.access, client.requires_tls = access, asks_for_tls(address) or access.asks_for_tls
    if client.requires_tls:
        # nats-py tells them to no other server that this one names. Here, each is checked as it was.
        options |= user_in(address)
    try:
        await finished_within(
            within_seconds, client.connect(address, inbox_prefix=inbox_prefix, error_cb=note, **options)
        )
    except BaseException as error:
        await client.close()
        if not isinstance(error, NatsError | OSError | TimeoutError):
            raise
        said, hint = explained(last or error)
        raise NotConnectedError(address, within_seconds, said, hint) from error
    is_connected = True
    return client


def _checked(url: str, access: Access, within_seconds: float) -> str:
    """The address, where that and the files are sound."""
    address = ""
    try:
        address = checked_address(url)
        access.require_sound(address)
    except OSError as error:
        said, hint = explained(error)
        raise NotConnectedError(address, within_seconds, said, hint) from error
    return address
