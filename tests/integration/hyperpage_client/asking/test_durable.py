"""Durable commands and what the broker says of their results, over a wire that answers in its place."""

import asyncio
import base64
from pathlib import Path

import pytest

from bus.broker.server import NatsServer
from bus.broker.users import APP
from hyperpage_client import Unreachable, connect
from hyperpage_client.asking import durable
from hyperpage_client.documents import encode
from hyperpage_client.errors import NotFound
from hyperpage_client.testing.client_conformance.wire import Answered, Wire

LOOK = "$JS.API.STREAM.MSG.GET.HYPERPAGE_RESULTS"
NO_LEADER = {"code": 503, "err_code": 10008, "description": "JetStream system temporarily unavailable"}
REFUSED = {"error": {"code": "not_found", "message": "there is none", "hint": "", "details": {}}}
KEPT = {"subject": "hyperpage.res.v1.d-1", "seq": 7, "data": base64.b64encode(encode(REFUSED)).decode()}


def test_a_kept_result_is_not_a_new_one_if_the_broker_did_not_say_what_was_kept_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(durable, "LOOK_SECONDS", 0.05)

    async def scenario() -> None:
        async with NatsServer(data=tmp_path, port=0) as server:
            wire = Wire(lambda: server.url_for(APP))
            await wire.open()
            wire.disturb(Answered("hyperpage.dcmd.>", 1_000, {}, {"stream": "HYPERPAGE_COMMANDS", "seq": 9}))
            wire.disturb(Answered(LOOK, 1, {}, {"error": NO_LEADER}))
            wire.disturb(Answered(LOOK, 1_000, {}, {"message": KEPT}))
            async with connect(wire.url) as client:
                with pytest.raises(Unreachable, match="is stored"):
                    await client.send_durable(
                        "app_state.delete", {"key": "a"}, command_id="d-1", timeout_seconds=0.5
                    )
                with pytest.raises(NotFound):
                    await client.durable_answer("d-1")
            await wire.close()

    asyncio.run(scenario())
