"""How `hyperpage tail` ends when its connection does, which only a broker that breaks the protocol does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bus.client import ClosedError, Unreachable
from hyperpage_client.contract.subjects import BusNames
from ops.cli import tail
from ops.cli.asking import Address
from ops.cli.main import run


class EndedClient:
    """A client that has no connection any more."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    @asynccontextmanager
    async def subscribe(self, *_: Any, **__: Any) -> AsyncIterator["EndedClient"]:
        yield self

    def __aiter__(self) -> "EndedClient":
        return self

    async def __anext__(self) -> None:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        ClosedError("the connection is closed; a protocol error"),
        Unreachable("nobody lets us in", may_have_been_carried_out=False),
    ],
)
def test_a_connection_that_does_not_come_back_is_told_as_unreachable(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    address = Address(data=tmp_path, url="nats://x:1", names=BusNames(), inbox_prefix="_INBOX")

    async def head(*_: Any, **__: Any) -> bytes:
        return b'{"head":0}'

    @asynccontextmanager
    async def connect(*_: Any, **__: Any) -> AsyncIterator[EndedClient]:
        yield EndedClient(error)

    monkeypatch.setattr(tail, "application_address", lambda data: address)
    monkeypatch.setattr(tail, "ask", head)
    monkeypatch.setattr("bus.client.connect", connect)

    assert run(["tail", "--data", str(tmp_path)]) == 5
    assert capsys.readouterr().err == f"error: {error}\nhint: try again\n"
