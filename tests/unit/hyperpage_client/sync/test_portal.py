"""Calls that wait for the client's own thread while that ends."""

import threading
from typing import Any

from hyperpage_client.sync.portal import Portal
from tests.support.patience import wait_for


async def at_once() -> str:
    return "an answer"


def test_a_call_whose_work_ends_as_the_client_is_closed_is_answered():
    portal, stands, gate = Portal(), threading.Event(), threading.Event()
    answers: list[str] = []

    def stand_still() -> None:
        stands.set()
        gate.wait()

    portal._loop.call_soon_threadsafe(stand_still)
    assert stands.wait(10)
    ready: Any = portal._loop._ready  # type: ignore[attr-defined]
    calling = threading.Thread(target=lambda: answers.append(portal.run(at_once())), daemon=True)
    closing = threading.Thread(target=portal.close, daemon=True)
    # Both begin while the loop stands still, and run in one turn of it.
    for thread in (calling, closing):
        before = len(ready)
        thread.start()
        wait_for(lambda: len(ready) > before)  # noqa: B023 # called in this turn
    gate.set()
    closing.join(10)
    calling.join(10)

    assert answers == ["an answer"]
