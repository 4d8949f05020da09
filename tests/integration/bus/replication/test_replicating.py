"""A writer whose groups go into a log on a real nats-server before they are committed."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bus.replication import replicating
from bus.replication.following import catch_up
from bus.replication.lease import LeaseLostError
from bus.replication.log_stream import DivergedLogError, LogStream, LogStreamError
from bus.replication.terms import Claim, take_term
from bus.writing.submission import Submission
from tests.support.patience import until
from tests.support.stores.relaying import NAMES, Broker, broker_in
from tests.support.stores.replicated import (
    STORE_ID,
    FollowedFile,
    followed_file,
    leading,
    lose_tail,
    replicated_content,
)
from tests.support.stores.writing import Reply, Sent, Store, batch


def play(scenario: Callable[[Broker], Awaitable[None]], folder: Path) -> None:
    """Runs a scenario with a broker of its own."""

    async def played() -> None:
        async with broker_in(folder / "broker") as broker:
            await scenario(broker)

    asyncio.run(played())


async def send(store: Store, name: str, body: Any, **headers: Any) -> Reply:
    return await asyncio.to_thread(store.send, name, body, **headers)


async def set_value(store: Store, key: str, value: Any = 1, **headers: Any) -> Reply:
    return await send(store, "app_state.set", {"key": key, "value": value}, **headers)


def log_of(broker: Broker, store_id: str = STORE_ID) -> LogStream:
    return LogStream(broker.connection, NAMES, store_id)


async def followed(broker: Broker, file: FollowedFile) -> dict[str, list[Any]]:
    """The content of a follower's file, once it has read the whole log."""
    await until(lambda: broker.connection.is_connected)
    await catch_up(log_of(broker), file.applier)
    return replicated_content(file.connection)


def test_who_may_not_lead_any_more_takes_no_term(tmp_path: Path):
    async def scenario(broker: Broker):
        with followed_file(tmp_path / "followed.db") as file:
            async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as led:
                await set_value(led.store, "k", 1, id="c-1")
                with pytest.raises(LeaseLostError):
                    await take_term(log_of(broker), file.applier, Claim(name="b", may_lead=lambda: False))
                # The refused claim has not fenced off the leader.
                await set_value(led.store, "k", 2, id="c-2")
                assert led.ended == []

    play(scenario, tmp_path)


def test_what_a_leader_has_answered_its_followers_have(tmp_path: Path):
    async def scenario(broker: Broker):
        with followed_file(tmp_path / "followed.db") as file:
            async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as led:
                await set_value(led.store, "theme", "dark", id="c-1")
                await send(led.store, "jobs.enqueue", {"id": "j", "type": "mail", "name": "A mail"}, id="c-2")
                await send(led.store, "jobs.claim", {"worker": "w"}, id="c-3")

                assert await followed(broker, file) == led.store.in_writer(replicated_content)

    play(scenario, tmp_path)


def test_of_two_leaders_the_first_is_told_so_and_the_second_has_all(tmp_path: Path):
    async def scenario(broker: Broker):
        async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as first:
            await set_value(first.store, "k", 1, id="c-1")
            async with leading(broker, tmp_path / "b.db", "b", store_id=STORE_ID) as second:
                refused = await set_value(first.store, "k", 2, id="c-2")

                assert refused.code == "unavailable"
                assert refused["error"]["details"]["outcome"] == "unknown"
                assert first.ended == ["another one leads"]
                assert (await set_value(first.store, "k", 3)).code == "unavailable"
                assert (await set_value(second.store, "k", 2, id="c-2"))["version"] == 2
                assert second.ended == []
            assert first.store.writer.head.position == 1

    play(scenario, tmp_path)


def test_behind_another_ones_message_at_the_same_sequence_nothing_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(replicating, "SURE_SECONDS", 0.0)

    async def scenario(broker: Broker):
        async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as first:
            assert (await set_value(first.store, "k", 1, id="c-1")).code is None
            await lose_tail(broker, 1)
            # The message of the new term takes the sequence that the first leader's group had.
            async with leading(broker, tmp_path / "b.db", "b", store_id=STORE_ID):
                refused = await set_value(first.store, "k", 2, id="c-2")

                assert refused.code == "unavailable"
                assert refused["error"]["details"]["outcome"] == "unknown"
                assert first.ended == ["the log has lost its end, and another one has led since"]
            assert first.store.writer.head.position == 1

    play(scenario, tmp_path)


def test_an_id_is_answered_the_same_by_whoever_leads_next(tmp_path: Path):
    async def scenario(broker: Broker):
        async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as led:
            answer = await set_value(led.store, "k", 1, id="c-1")
        async with leading(broker, tmp_path / "b.db", "b", store_id=STORE_ID) as led:
            assert await set_value(led.store, "k", 1, id="c-1") == answer

    play(scenario, tmp_path)


def test_while_the_broker_is_away_commands_wait_and_are_answered_once_it_is_back(tmp_path: Path):
    async def scenario(broker: Broker):
        with followed_file(tmp_path / "followed.db") as file:
            async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as led:
                await set_value(led.store, "k", 0)
                await broker.freeze()
                sending = asyncio.create_task(set_value(led.store, "k", 1, id="c-1"))
                await until(lambda: led.replicator.waits_since is not None)
                broker.signal(signal.SIGCONT)
                await broker.kill()

                assert (await sending)["version"] == 2
                assert led.ended == []
                assert await followed(broker, file) == led.store.in_writer(replicated_content)

    play(scenario, tmp_path)


def test_a_leader_whose_log_never_answers_stores_nothing_and_leads_no_more(tmp_path: Path):
    async def scenario(broker: Broker):
        async with leading(broker, tmp_path / "a.db", store_id=STORE_ID, hold_seconds=0.2) as led:
            await set_value(led.store, "k", 0)
            await broker.freeze()
            try:
                refused = await set_value(led.store, "k", 1, id="c-1")
            finally:
                broker.signal(signal.SIGCONT)

            assert refused.code == "unavailable"
            assert refused["error"]["details"]["outcome"] == "unknown"
            assert led.store.writer.head.position == 1
            assert len(led.ended) == 1

    play(scenario, tmp_path)


def test_what_was_in_the_log_and_not_in_the_file_is_there_after_the_next_start(tmp_path: Path):
    async def scenario(broker: Broker):
        async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as led:
            await set_value(led.store, "k", 0)
            led.store.connection.set_commit_hook(lambda: True)
            refused = await set_value(led.store, "k", 1, id="c-1")

            assert refused["error"]["details"]["outcome"] == "unknown"
            assert len(led.ended) == 1
        async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as led:
            assert led.store.writer.head.position == 2
            assert (await set_value(led.store, "k", 1, id="c-1"))["version"] == 2
            assert led.store.writer.head.position == 2

    play(scenario, tmp_path)


def test_a_group_larger_than_a_message_goes_out_in_parts(tmp_path: Path):
    async def scenario(broker: Broker):
        with followed_file(tmp_path / "followed.db") as file:
            async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as led:
                chance = Random(1)
                noise = [chance.randbytes(30_000).hex() for _ in range(40)]
                batched = batch(
                    *(Sent("app_state.set", {"key": f"k.{n}", "value": text}) for n, text in enumerate(noise))
                )
                (answer,) = await asyncio.to_thread(led.store.submit, [batched])

                assert all("error" not in outcome for outcome in answer.outcomes)
                end = await log_of(broker).end()
                assert end.place is not None
                assert end.place.parts > 1
                assert await followed(broker, file) == led.store.in_writer(replicated_content)

    play(scenario, tmp_path)


def test_what_the_log_has_lost_at_its_end_the_next_leader_puts_back(tmp_path: Path):
    async def scenario(broker: Broker):
        with followed_file(tmp_path / "early.db") as early, followed_file(tmp_path / "late.db") as late:
            async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as led:
                await set_value(led.store, "k", 1, id="c-1")
                await followed(broker, early)
                await send(led.store, "jobs.enqueue", {"id": "j", "type": "mail", "name": "A mail"}, id="c-2")
                await send(led.store, "jobs.claim", {"worker": "w"}, id="c-3")
                await set_value(led.store, "k", 2, id="c-4")
                await followed(broker, late)
            await lose_tail(broker, 3)
            async with leading(broker, tmp_path / "a.db") as led:
                await set_value(led.store, "k", 3, id="c-5")
                for file in (early, late):
                    file.opened()
                    assert await followed(broker, file) == led.store.in_writer(replicated_content)

    play(scenario, tmp_path)


def test_what_only_a_follower_has_it_puts_back_when_it_leads(tmp_path: Path):
    async def scenario(broker: Broker):
        with followed_file(tmp_path / "early.db") as early:
            async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as led:
                await set_value(led.store, "k", 1, id="c-1")
                answer = await set_value(led.store, "k", 2, id="c-2")
                with followed_file(tmp_path / "b.db") as file:
                    await followed(broker, file)
            await lose_tail(broker, 1)
            async with leading(broker, tmp_path / "b.db", "b") as led:
                assert await set_value(led.store, "k", 2, id="c-2") == answer
                assert await followed(broker, early) == led.store.in_writer(replicated_content)

    play(scenario, tmp_path)


def test_nobody_puts_back_behind_a_log_of_another_history(tmp_path: Path):
    async def scenario(broker: Broker):
        async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as led:
            for value in range(3):
                await set_value(led.store, "k", value)
        await broker.api.delete(NAMES.log)
        async with leading(broker, tmp_path / "b.db", store_id=STORE_ID) as led:
            await set_value(led.store, "other")
            before = await broker.messages(NAMES.log)
            with pytest.raises(DivergedLogError):
                async with leading(broker, tmp_path / "a.db"):
                    pass
            assert await broker.messages(NAMES.log) == before

    play(scenario, tmp_path)


def test_nobody_leads_a_new_log_who_has_less_than_it_was_made_for(tmp_path: Path):
    async def scenario(broker: Broker):
        await log_of(broker).prepare(1, timeline=1, position=7)
        with pytest.raises(LogStreamError, match="behind position 7, and this file ends at 0"):
            async with leading(broker, tmp_path / "a.db", store_id=STORE_ID):
                pass

    play(scenario, tmp_path)


def noise(seed: int, count: int) -> Submission:
    """A batch that is too large for one message."""
    chance = Random(seed)
    bodies = [{"key": f"k.{number}", "value": chance.randbytes(30_000).hex()} for number in range(count)]
    return batch(*(Sent("app_state.set", body) for body in bodies))


def test_a_group_in_parts_of_one_that_leads_no_more_is_stored_behind_nobodys_term(tmp_path: Path):
    async def scenario(broker: Broker):
        async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as first:
            await set_value(first.store, "k", 1)
            async with leading(broker, tmp_path / "b.db", "b", store_id=STORE_ID) as second:
                (answer,) = await asyncio.to_thread(first.store.submit, [noise(1, 40)])

                assert answer.code == "unavailable"
                assert first.ended == ["another one leads"]
                assert first.store.writer.head.position == 1
                assert (await set_value(second.store, "k", 2))["version"] == 2

    play(scenario, tmp_path)


@pytest.mark.parametrize("next_count", [40, 55], ids=["another group", "the same group again"])
def test_parts_of_a_group_that_there_was_no_room_for_count_for_nothing(tmp_path: Path, next_count: int):
    async def scenario(broker: Broker):
        with followed_file(tmp_path / "followed.db") as file:
            async with leading(broker, tmp_path / "a.db", store_id=STORE_ID) as led:
                await set_value(led.store, "k", 1)
                report = await broker.api.report(NAMES.log)
                assert report is not None
                # Room for one part of a batch that needs two.
                await broker.api.update({**report.config, "max_bytes": report.state.bytes + 1_300_000})
                (refused,) = await asyncio.to_thread(led.store.submit, [noise(1, 55)])
                assert refused.code == "unavailable"
                assert "outcome" not in refused["error"]["details"]
                await broker.api.update({**report.config, "max_bytes": -1})
                (answer,) = await asyncio.to_thread(led.store.submit, [noise(1, next_count)])

                assert len(answer.outcomes) == next_count
                assert led.ended == []
                assert await followed(broker, file) == led.store.in_writer(replicated_content)

    play(scenario, tmp_path)
