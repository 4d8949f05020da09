"""Answers for defects: `IncidentMiddleware`."""

import logging

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bus.incident import internal
from ops.http.problem import problem
from ops.http.refusals import ReaderTooSlowError

logger = logging.getLogger(__name__)


class IncidentMiddleware:
    """Answers a defect with the id under which it is logged, and no other detail."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, and answers it if that raises."""
        has_started = False

        async def note(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, note)
        except (ClientDisconnect, ReaderTooSlowError):
            # The reader is gone.
            return
        except Exception as error:
            refusal = internal(
                logger, "a request failed", error, method=scope.get("method"), path=scope.get("path")
            )
            if has_started:
                # The error cuts the connection, so that the reader does not take the answer for complete.
                raise
            await problem(refusal)(scope, receive, send)
