"""A broker that keeps the result of an earlier command, and does not say so at first."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bus.broker.server import NatsServer
from bus.broker.users import APP
from hyperpage_client.documents import encode
from hyperpage_client.testing.client_conformance.wire import Answered, Wire

_LOOK = "$JS.API.STREAM.MSG.GET.HYPERPAGE_RESULTS"
_NO_LEADER = {"code": 503, "err_code": 10008, "description": "JetStream system temporarily unavailable"}
_REFUSED = {"error": {"code": "not_found", "message": "there is none", "hint": "", "details": {}}}
_KEPT = {"subject": "hyperpage.res.v1.d-1", "seq": 7, "data": base64.b64encode(encode(_REFUSED)).decode()}


@asynccontextmanager
async def keeping_an_earlier_result(folder: Path) -> AsyncIterator[str]:
    """The address of the broker; the command `d-1` was refused with `not_found`, and is stored again."""
    async with NatsServer(data=folder, port=0) as server:
        wire = Wire(lambda: server.url_for(APP))
        await wire.open()
        wire.disturb(Answered("hyperpage.dcmd.>", 1_000, {}, {"stream": "HYPERPAGE_COMMANDS", "seq": 9}))
        wire.disturb(Answered(_LOOK, 1, {}, {"error": _NO_LEADER}))
        wire.disturb(Answered(_LOOK, 1_000, {}, {"message": _KEPT}))
        yield wire.url
        await wire.close()
