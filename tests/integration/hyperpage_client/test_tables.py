"""The client's tables: all queries about one, with typed arguments and answers."""

import asyncio
from pathlib import Path
from typing import assert_type

import pytest

from bus.broker.users import APP
from hyperpage_client import Unreachable, connect
from hyperpage_client.answers.jobs import EnqueueResult, JobRow, JobState, LeasedJob
from hyperpage_client.errors import NotFound, VersionConflict
from hyperpage_client.queries.table import Answer
from tests.support.services.serving import broker_of, serving


def test_a_job_is_enqueued_claimed_completed_and_read_with_types(tmp_path: Path):
    async def scenario() -> None:
        async with serving(tmp_path) as service, connect(broker_of(service).url_for(APP)) as client:
            enqueued = await client.jobs.enqueue("fetch", payload={"url": "a"}, id="one", actor="me")
            assert_type(enqueued, Answer[EnqueueResult | None])
            assert (enqueued.key, enqueued.version, enqueued.result) == ("one", 1, None)

            claimed = await client.jobs.claim("worker", types=["fetch"])
            [job] = assert_type(claimed.result.jobs, tuple[LeasedJob, ...])
            assert (job.payload, job.state, isinstance(job, JobRow)) == ({"url": "a"}, "running", True)
            done = await client.jobs.complete(job.id, job.lease, result=[1])
            assert isinstance(done, Answer)
            assert done.result is None

            row = await client.jobs.get("one")
            assert_type(row.state, JobState)
            assert (row.state, row.result, row.tags) == ("completed", [1], ())
            assert [one.id async for one in client.jobs.list(state="completed", limit=1)] == ["one"]
            assert await client.jobs.count(type="fetch") == 1
            groups = await client.jobs.count_by("state")
            assert [(one.value, one.count) for one in groups] == [("completed", 1)]
            history = [event async for event in client.jobs.history("one")]
            assert [event.type.split(".")[1] for event in history] == ["enqueued", "claimed", "completed"]
            assert history[0].actor == "me"
            assert (await client.jobs.as_of("one", position=1)).state == "pending"
            [attempt] = [one async for one in client.jobs.attempts("one")]
            assert (attempt.job_id, attempt.status) == ("one", "completed")

    asyncio.run(scenario())


def test_keys_are_given_by_their_place_and_refusals_are_raised(tmp_path: Path):
    async def scenario() -> None:
        async with serving(tmp_path) as service, connect(broker_of(service).url_for(APP)) as client:
            await client.app_state.set("theme", {"dark": True})
            assert (await client.app_state.get("theme")).value == {"dark": True}
            with pytest.raises(VersionConflict):
                await client.app_state.set("theme", 1, expected_version=0)
            with pytest.raises(VersionConflict):
                await client.app_state.set_if("theme", 1, 7)
            with pytest.raises(NotFound):
                await client.queues.get("nowhere")
            found = await client.events.find(type="app_state.value_set.v1")
            assert [event.stream for event in found.items] in (["app_state/theme"], [])
            chain = await client.events.chain(position=1)
            assert [link.event.position for link in chain.items] == [1]
            for size in (1, 2):
                await client.tool_configs.set("crawler", config={"size": size})
            differs = await client.tool_configs.diff("crawler", 1, 2)
            assert [(one.path, one.before, one.after) for one in differs.changed] == [("$.config.size", 1, 2)]

    asyncio.run(scenario())


def test_a_batch_goes_out_in_as_many_messages_as_its_bytes_take(tmp_path: Path):
    async def scenario() -> int:
        async with serving(tmp_path) as service, connect(broker_of(service).url_for(APP)) as client:
            async with client.batch() as batch:
                for number in range(40):
                    batch.add("app_state.set", {"key": f"k-{number}", "value": "x" * 60_000})
            return await client.app_state.count()

    assert asyncio.run(scenario()) == 40


def test_how_long_a_query_is_waited_for_can_be_said(tmp_path: Path):
    async def scenario() -> None:
        async with serving(tmp_path) as service, connect(broker_of(service).url_for(APP)) as client:
            await client.app_state.set("theme", 1)
            assert (await client.app_state.get("theme", timeout_seconds=60)).value == 1
            with pytest.raises(Unreachable, match="within 0 s"):
                await client.app_state.get("theme", timeout_seconds=0)
            with pytest.raises(Unreachable):
                await client.jobs.count_by(by="state", timeout_seconds=0)
            with pytest.raises(Unreachable):
                await anext(client.app_state.list(timeout_seconds=0))

    asyncio.run(scenario())


def test_more_than_a_page_is_asked_for_page_by_page(tmp_path: Path):
    async def scenario() -> list[str]:
        async with serving(tmp_path) as service, connect(broker_of(service).url_for(APP)) as client:
            async with client.batch() as batch:
                for number in range(7):
                    batch.add("app_state.set", {"key": f"k-{number}", "value": number})
            return [row.key async for row in client.app_state.list(prefix="k-", limit=2)]

    assert asyncio.run(scenario()) == [f"k-{number}" for number in range(7)]
