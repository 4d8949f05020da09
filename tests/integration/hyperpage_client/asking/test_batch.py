"""Commands that are collected and sent together."""

import asyncio
from pathlib import Path

import pytest

from bus.broker.users import APP
from hyperpage_client import Pending, connect
from hyperpage_client.commands.app_state import Set
from hyperpage_client.errors import NotFound, VersionConflict
from tests.support.services.serving import broker_of, serving


def test_a_batch_goes_out_at_the_end_of_its_block_in_as_many_messages_as_it_takes(tmp_path: Path):
    async def scenario():
        async with serving(tmp_path) as service, connect(broker_of(service).url_for(APP)) as client:
            async with client.batch() as batch:
                pending = [batch.add(Set(key=f"k-{number}", value=number)) for number in range(1_500)]
                with pytest.raises(RuntimeError, match="goes out at the end"):
                    _ = pending[0].answer
            return await client.count("app_state"), [one.answer.key for one in pending]

    count, keys = asyncio.run(scenario())

    assert count == 1_500
    assert keys == [f"k-{number}" for number in range(1_500)]


def test_what_was_refused_is_raised_and_the_others_are_done(tmp_path: Path):
    async def scenario():
        async with serving(tmp_path) as service, connect(broker_of(service).url_for(APP)) as client:
            pending: list[Pending] = []

            async def one_is_bad() -> None:
                async with client.batch() as batch:
                    pending.append(batch.add(Set(key="good", value=1)))
                    pending.append(batch.add("jobs.cancel", {"id": "nobody"}))

            async def all_or_none() -> None:
                async with client.batch(atomic=True) as batch:
                    batch.add(Set(key="never", value=1))
                    batch.add(Set(key="good", value=2), expected_version=0)

            with pytest.raises(ExceptionGroup, match="1 of 2 commands were refused") as refused:
                await one_is_bad()
            with pytest.raises(NotFound):
                _ = pending[1].answer
            with pytest.raises(VersionConflict):
                await all_or_none()
            return refused.value, pending[0].answer.key, await client.count("app_state")

    refused, good, count = asyncio.run(scenario())

    assert [one.code for one in refused.exceptions if isinstance(one, NotFound)] == ["not_found"]
    assert (good, count) == ("good", 1)
