"""Answers that many pages need at the same moment: `SharedAnswers` asks once for all of them."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

MAXIMUM_KEPT = 64


class SharedAnswers:
    """The answers of the last moments. Used from the event loop's thread only; `clock` counts seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[Any, tuple[float, asyncio.Task[Any]]] = {}

    async def get(self, key: Any, seconds: float, ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """The answer of `ask`, or an earlier one for the same key that is at most `seconds` old."""
        began, task = self._kept.get(key, (0.0, None))
        if task is None or self._clock() - began > seconds or (task.done() and _failed(task)):
            self._kept.pop(key, None)
            task = asyncio.create_task(ask())
            self._kept[key] = (self._clock(), task)
            if len(self._kept) > MAXIMUM_KEPT:
                del self._kept[next(iter(self._kept))]
        # Shielded: if one page's request is cancelled, others still wait for the same answer.
        return await asyncio.shield(task)

    def forget(self) -> None:
        """Drops all answers, for use after a change."""
        self._kept.clear()


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None
