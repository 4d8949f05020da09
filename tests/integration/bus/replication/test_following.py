"""A file that follows a log on a real nats-server, also after kills of the broker and losses of the log."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bus.log import chain
from bus.replication import frame as frame_module
from bus.replication.following import Follower, Reading
from bus.replication.frame import frame_of, messages_of
from bus.replication.log_stream import GapError, LogStream, LogStreamError
from bus.writing.content import Content
from tests.support.patience import until
from tests.support.stores.relaying import NAMES, Broker, broker_in
from tests.support.stores.replicated import (
    STORE_ID,
    FollowedFile,
    Led,
    followed_file,
    leading,
    lose_tail,
    replicated_content,
)


@asynccontextmanager
async def following(broker: Broker, file: FollowedFile) -> AsyncIterator[Follower]:
    """A follower that runs."""
    follower = Follower(broker.connection, NAMES, STORE_ID, file.applier)
    task = asyncio.create_task(follower.run())
    try:
        yield follower
    finally:
        follower.stop()
        await task


@pytest.mark.parametrize(
    ("type_name", "problem"), [("job.newer.v1", "type job.newer.v1"), ("job.enqueued.v1", "missing required")]
)
def test_what_a_newer_version_has_written_is_told_and_all_before_it_is_there(
    tmp_path: Path, type_name: str, problem: str
):
    async def scenario():
        async with broker_in(tmp_path / "broker") as broker:
            with followed_file(tmp_path / "followed.db") as file:
                async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as led:
                    await set_values(led, 3)
                    head = led.store.writer.head
                log = LogStream(broker.connection, NAMES, STORE_ID)
                newer = chain.Entry("jobs/x", 1, type_name, None, '{"more":1}', None)
                rows, _ = chain.extend(head, [newer], head.recorded_at)
                content = Content(before=head, rows=rows)
                frame = frame_of(content, store_id=STORE_ID, timeline=1, term=1)
                (body,) = messages_of(frame)
                await log.append(body, (await log.end()).tail)

                async with following(broker, file) as follower:
                    await until(lambda: problem in (follower.state.problem or ""))
                    assert "at position 4: a newer version has written it" in (follower.state.problem or "")
                    assert follower.state.repair == "update this one"
                    assert follower.is_apart
                    assert follower.state.position == 3

    asyncio.run(scenario())


def test_a_newer_leader_writes_what_an_older_follower_reads_until_all_are_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(frame_module, "FORMAT", 2)
    form = 1

    async def scenario():
        nonlocal form
        async with broker_in(tmp_path / "broker") as broker:
            with followed_file(tmp_path / "followed.db") as file:
                async with leading(broker, tmp_path / "a.db", store_id=STORE_ID, form=lambda: form) as led:
                    await set_values(led, 3)
                    form = 2
                    await set_values(led, 3)
                written = [one.payload[3] for one in await broker.messages(NAMES.log)]
                assert written == [1, 1, 1, 1, 2, 2, 2]

                monkeypatch.setattr(frame_module, "FORMAT", 1)
                async with following(broker, file) as follower:
                    await until(lambda: "of format 2" in (follower.state.problem or ""))
                    assert follower.state.repair == "a newer version has written it: update this one"
                # A follower that was updated goes on.
                monkeypatch.setattr(frame_module, "FORMAT", 2)
                async with following(broker, file) as follower:
                    await until(lambda: follower.state.position == 6)

    asyncio.run(scenario())


async def set_values(led: Led, count: int) -> None:
    for number in range(count):
        # Each differs from the last one, or it would change nothing.
        body = {"key": f"k.{number % 7}", "value": led.store.writer.head.position}
        assert (await asyncio.to_thread(led.store.send, "app_state.set", body)).code is None


async def until_equal(follower: Follower, file: FollowedFile, led: Led) -> None:
    position = led.store.writer.head.position

    def is_there() -> bool:
        state = follower.state
        return state.healthy and state.position == state.log_position == position

    await until(is_there)
    # The follower moves its head after the commit, so its file has the position by now.
    assert replicated_content(file.connection) == led.store.in_writer(replicated_content)


def test_what_a_leader_decides_is_soon_in_the_files_of_its_followers(tmp_path: Path):
    async def scenario():
        async with broker_in(tmp_path / "broker") as broker:
            with followed_file(tmp_path / "followed.db") as file:
                async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as led:
                    await set_values(led, 5)
                    async with following(broker, file) as follower:
                        await set_values(led, 20)
                        await until_equal(follower, file, led)
                        state = follower.state
                        assert (state.position, state.log_position, state.lag) == (25, 25, 0)
                        assert state.age_ms is not None

    asyncio.run(scenario())


def test_a_follower_goes_on_after_the_broker_was_killed(tmp_path: Path):
    async def scenario():
        async with broker_in(tmp_path / "broker") as broker:
            with followed_file(tmp_path / "followed.db") as file:
                async with (
                    leading(broker, tmp_path / "a.db", store_id=STORE_ID) as led,
                    following(broker, file) as follower,
                ):
                    await set_values(led, 3)
                    await broker.kill()
                    await set_values(led, 3)
                    await until_equal(follower, file, led)

    asyncio.run(scenario())


def test_a_follower_that_comes_late_and_far_behind_catches_up(tmp_path: Path):
    async def scenario():
        async with broker_in(tmp_path / "broker") as broker:
            with followed_file(tmp_path / "followed.db") as file:
                async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as led:
                    async with following(broker, file) as follower:
                        await set_values(led, 2)
                        await until_equal(follower, file, led)
                    await set_values(led, 300)
                    file.opened()
                    async with following(broker, file) as follower:
                        await until_equal(follower, file, led)

    asyncio.run(scenario())


def test_a_file_of_another_history_does_not_follow(tmp_path: Path):
    async def scenario():
        async with broker_in(tmp_path / "broker") as broker:
            with followed_file(tmp_path / "followed.db") as file:
                async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as led:
                    await set_values(led, 3)
                    async with following(broker, file) as follower:
                        await until_equal(follower, file, led)
                await broker.api.delete(NAMES.log)
                async with leading(broker, tmp_path / "b.db", "b", store_id=STORE_ID) as led:
                    await set_values(led, 4)
                    file.opened()
                    async with following(broker, file) as follower:
                        await until(lambda: "other events" in (follower.state.problem or ""))
                        assert follower.state.position == 3
                        assert "hyperpage cluster reseed" in (follower.state.repair or "")

    asyncio.run(scenario())


def test_a_follower_whose_file_ends_before_the_log_begins_ends_for_it_to_be_made_anew(tmp_path: Path):
    async def scenario():
        async with broker_in(tmp_path / "broker") as broker:
            with followed_file(tmp_path / "followed.db") as file:
                async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as led:
                    await set_values(led, 3)
                await broker.api.delete(NAMES.log)
                async with leading(broker, tmp_path / "a.db"):
                    with pytest.raises(GapError, match="goes on at position 3, and this file ends at 0"):
                        await Follower(broker.connection, NAMES, STORE_ID, file.applier).run()

    asyncio.run(scenario())


@pytest.mark.parametrize("more", [1, 4])
def test_a_follower_notices_that_the_log_has_lost_its_end_though_there_are_as_many_messages_again(
    tmp_path: Path, more: int
):
    async def scenario():
        async with broker_in(tmp_path / "broker") as broker:
            with followed_file(tmp_path / "followed.db") as file:
                async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as led:
                    await set_values(led, 5)
                end = await led_log(broker).end()
                reading = await Reading.begin(led_log(broker), file.applier, end)
                await reading.up_to(end.sequence)
                await lose_tail(broker, 3)
                async with leading(broker, tmp_path / "a.db") as led:
                    # The new leader writes one message with what the log lost, and one that begins its term.
                    await set_values(led, more)
                    end = await led_log(broker).end()
                    if end.sequence == reading.sequence:
                        assert reading.is_of_another_log(end)
                    else:
                        with pytest.raises(LogStreamError, match="other messages than were read"):
                            await reading.up_to(end.sequence)
                    async with following(broker, file) as follower:
                        await until_equal(follower, file, led)

    asyncio.run(scenario())


def test_a_follower_that_runs_has_what_comes_behind_an_end_that_was_lost(tmp_path: Path):
    async def scenario():
        async with broker_in(tmp_path / "broker") as broker:
            with followed_file(tmp_path / "followed.db") as file:
                async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as led:
                    await set_values(led, 5)
                    async with following(broker, file) as follower:
                        await until_equal(follower, file, led)
                        await asyncio.to_thread(led.store.close)
                        await lose_tail(broker, 3)
                        async with leading(broker, tmp_path / "a.db") as again:
                            await set_values(again, 1)
                            await until_equal(follower, file, again)

    asyncio.run(scenario())


def led_log(broker: Broker) -> LogStream:
    return LogStream(broker.connection, NAMES, STORE_ID)
