"""One case: what a client must do, and how that is tried.

A function with a decorator is a case:

    GROUP = Group("Refusals")

    @GROUP.case(
        "an unknown name is not found",
        "Hand on the code of a refusal, with its message, hint and details.",
    )
    async def unknown(at: Setting) -> None:
        client = await at.connect()
        refused = await client.refused("query", query="app_state.get", body={"key": at.key()})
        equal("the code", refused["code"], "not_found")
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Literal

import msgspec

from hyperpage_client.testing.client_conformance.setting import Setting

Fate = Literal["shared", "killed", "restored"]
Run = Callable[[Setting], Awaitable[None]]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A case: its `name`, a sentence, and `must`, what a client has to do.

    It is tried if the adapter has all its `needs`. Cases whose service is `killed` or `restored` have a
    service apart from the others. It is killed once, for all `killed` cases at the same time; while it is
    restored, no other case runs on it.
    """

    group: str
    name: str
    must: str
    needs: tuple[str, ...]
    service: Fate
    run: Run


class Group:
    """Cases about one thing, in the order in which they are written."""

    def __init__(self, name: str, *needs: str) -> None:
        self.name = name
        self.cases: list[Case] = []
        self._needs = needs

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases)

    def case(
        self, name: str, must: str, *, needs: Sequence[str] = (), service: Fate = "shared"
    ) -> Callable[[Run], Run]:
        """A decorator that adds a case: the function tries it."""

        def take(run: Run) -> Run:
            self.cases.append(
                Case(
                    group=self.name,
                    name=name,
                    must=must,
                    needs=(*self._needs, *needs),
                    service=service,
                    run=run,
                )
            )
            return run

        return take
