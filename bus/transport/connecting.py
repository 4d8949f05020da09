"""Connecting to NATS: the one place where it is done."""

from collections.abc import Callable
from typing import Any

from nats.errors import Error as NatsError

from bus.tasks import finished_within
from bus.transport.connection import LeanClient


class NotConnectedError(RuntimeError):
    """No nats-server let us in; `said` is how the last attempt ended, "" if none has ended."""

    def __init__(self, said: str, cause: Exception) -> None:
        super().__init__(said or str(cause))
        self.said = said


async def connect(
    url: str,
    *,
    inbox_prefix: str,
    within_seconds: float,
    again_after_seconds: float | None = None,
    on_error: Callable[[str], None] = lambda said: None,
    client: LeanClient | None = None,
    **options: Any,
) -> LeanClient:
    """A connection that stands; `client`, where one is given.

    One that is lost is made again for ever, `again_after_seconds` after each attempt that failed; where that
    is None, it stays lost. `on_error` hears of each error from the time that the connection stands; before
    that, the last one is raised. `options` are those of nats-py's `connect`.

    Raises:
        NotConnectedError: nobody let us in within that time; the client is closed.
    """
    client = client or LeanClient()
    said = ""
    is_connected = False

    async def note(error: Exception) -> None:
        nonlocal said
        said = str(error) or type(error).__name__
        if is_connected:
            on_error(said)

    if again_after_seconds is None:
        options["allow_reconnect"] = False
    else:
        options |= {"max_reconnect_attempts": -1, "reconnect_time_wait": again_after_seconds}
    try:
        await finished_within(
            within_seconds, client.connect(url, inbox_prefix=inbox_prefix, error_cb=note, **options)
        )
    except BaseException as error:
        await client.close()
        if not isinstance(error, NatsError | OSError | TimeoutError):
            raise
        raise NotConnectedError(said, error) from error
    is_connected = True
    return client
