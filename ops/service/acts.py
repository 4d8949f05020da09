"""Records the acts of operators in the audit log, the service's own log and a notice: `ActRecord`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from bus.serving.audit import Act, Actor, AuditOutcome, summary
from domain.errors import Refusal, Unavailable
from hyperpage_client.tasks import cancel
from ops.audit.files import AuditError
from ops.audit.own_acts import own_act
from ops.audit.recorder import Recorder
from ops.audit.trail import audit_trail
from ops.service.notices import Notices
from ops.settings import Settings

if TYPE_CHECKING:
    # A service without HTTP does not load it.
    from ops.http.server import HttpServer


async def recorder(
    http: "HttpServer | None", settings: Settings, now_ms: Callable[[], int], stack: AsyncExitStack
) -> Recorder:
    """The recorder of the HTTP server, which outlives a service; without a server, one that `stack` ends."""
    if http is not None:
        return http.audit
    return await stack.enter_async_context(_recording(settings, now_ms))


@asynccontextmanager
async def _recording(settings: Settings, now_ms: Callable[[], int]) -> AsyncIterator[Recorder]:
    """A recorder for a service without an HTTP server, for the length of the block."""
    recorder = Recorder(audit_trail(settings.data, settings.audit_kept_mib), now_ms)
    running = asyncio.create_task(recorder.run(), name="the audit log")
    try:
        yield recorder
    finally:
        await cancel(running)
        await recorder.flush(last=True)


async def record_start(audit: Recorder, stack: AsyncExitStack, version: str, position: int) -> None:
    """Records that a service serves from now on and, when the stack is undone, that it ends."""
    said = {"version": version, "position": position}
    await audit.write_or_note(own_act("service.start", said))
    stack.push_async_callback(lambda: audit.write_or_note(own_act("service.stop", said)))


class ActRecord:
    """Records administrative requests. `now_ms` is the service's clock. Used from the event loop only."""

    def __init__(self, audit: Recorder, notices: Notices, now_ms: Callable[[], int]) -> None:
        self._audit = audit
        self._notices = notices
        self._now_ms = now_ms

    async def begin(self, actor: Actor, action: str, body: Any, *, anyway: bool) -> None:
        """Records that an act begins; returns when that is on disk.

        Raises:
            Unavailable: the audit log cannot be written, and the act is not to be done `anyway`.
        """
        try:
            await self._audit.write(self._act(actor, action, body, "begun"))
        except AuditError as error:
            if not anyway:
                raise Unavailable(
                    f"{error.strerror}, and what cannot be recorded is not done",
                    hint="make room on the disk: pruning and deleting backups, and dropping dead letters, is"
                    " done all the same",
                ) from error

    async def end(
        self,
        actor: Actor,
        action: str,
        body: Any,
        outcome: AuditOutcome,
        refusal: Refusal | None,
        *,
        dry_run: bool = False,
    ) -> None:
        """Records the outcome of an act. If the disk takes nothing, the record waits in memory."""
        code = None if refusal is None else refusal.code
        act = self._act(actor, action, body, outcome, code, dry_run=dry_run)
        if outcome != "begun":
            # `begin` has recorded the begin already.
            await self._audit.write_or_note(act)
        self._notices.record(act, self._audit.head)

    def _act(
        self,
        actor: Actor,
        action: str,
        body: Any,
        outcome: AuditOutcome,
        code: str | None = None,
        *,
        dry_run: bool = False,
    ) -> Act:
        return Act(
            at=self._now_ms(),
            actor=actor,
            action=action,
            request=summary(body),
            outcome=outcome,
            code=code,
            dry_run=dry_run,
        )
