"""Durable commands and what the broker says of their results, over a wire that answers in its place."""

import asyncio
from pathlib import Path

import pytest

from hyperpage_client import Unreachable, connect
from hyperpage_client.asking import durable
from hyperpage_client.errors import NotFound
from tests.support.machines.earlier_results import keeping_an_earlier_result


def test_a_kept_result_is_not_a_new_one_if_the_broker_did_not_say_what_was_kept_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(durable, "LOOK_SECONDS", 0.05)

    async def scenario() -> None:
        async with keeping_an_earlier_result(tmp_path) as url, connect(url) as client:
            with pytest.raises(Unreachable, match="is stored"):
                await client.send_durable(
                    "app_state.delete", {"key": "a"}, command_id="d-1", timeout_seconds=0.5
                )
            with pytest.raises(NotFound):
                await client.durable_answer("d-1")

    asyncio.run(scenario())
