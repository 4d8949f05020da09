"""The tasks of a service that must not end before it does: `Background`."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from bus.tasks import cancel
from ops.service.errors import ServiceError


class Background:
    """Tasks that `stack` cancels in its turn; the first that fails is told by `failure`."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, work: Coroutine[Any, Any, None], what: str) -> None:
        """Has `work` done beside all else."""
        task = asyncio.create_task(work, name=what)
        task.add_done_callback(self._ended)
        self._stack.push_async_callback(cancel, task)

    async def failure(self) -> None:
        """Waits until one has failed, and raises why.

        Raises:
            ServiceError: it says which.
        """
        await asyncio.shield(self._failed)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._failed.done():
            return
        error = task.exception()
        if error is not None:
            self._failed.set_exception(ServiceError(f"{task.get_name()} failed: {error}"))
