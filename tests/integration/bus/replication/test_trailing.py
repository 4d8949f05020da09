"""A log that trails, on a real nats-server: its sending, and the leaders that begin a timeline."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest

from bus.log.answers import Answers, verify_answers
from bus.log.chain import Head
from bus.log.cloud_events import Origin
from bus.log.reader_pool import ReaderPool
from bus.replication.comparing import last_in_common
from bus.replication.following import catch_up
from bus.replication.history import History
from bus.replication.log_stream import DivergedLogError, EarlierTimelineError, LogStream
from bus.replication.putting_back import fork_of, lacking_nothing
from bus.replication.replicating import Replicator
from bus.replication.terms import Claim, Told, take_term
from bus.replication.trailing import Trailing
from bus.writing.submission import Commit
from domain.catalogue import TimelineForked
from hyperpage_client.tasks import cancel
from tests.support.patience import COMES_WITHIN_SECONDS, until
from tests.support.stores.relaying import NAMES, Broker, broker_in, connect
from tests.support.stores.replicated import (
    STORE_ID,
    FollowedFile,
    followed_file,
    lose_tail,
    replicated_content,
)
from tests.support.stores.writing import Store


def log_of(broker: Broker) -> LogStream:
    return LogStream(broker.connection, NAMES, STORE_ID)


class TrailingLeader:
    """A store whose log trails; it sends its commits once `send` is called."""

    def __init__(self, store: Store, trailing: Trailing, ended: list[str]) -> None:
        self.store = store
        self.trailing = trailing
        self.ended = ended
        self._sending: asyncio.Task[None] | None = None
        self._told = 0

    def send(self) -> None:
        self._sending = asyncio.create_task(self.trailing.run())

    async def set_value(self, key: str, value: int, command_id: str | None = None) -> None:
        headers = {} if command_id is None else {"id": command_id}
        reply = await asyncio.to_thread(
            self.store.send, "app_state.set", {"key": key, "value": value}, **headers
        )
        assert reply.code is None
        self.tell()

    def tell(self) -> None:
        """Passes on new commits, as the service's loop does."""
        commits: list[Commit] = self.store.commits[self._told :]
        self._told += len(commits)
        for commit in commits:
            self.trailing.notify(commit)

    async def stop(self) -> None:
        if self._sending is not None:
            await cancel(self._sending)
        await self.trailing.replicator.close()


@asynccontextmanager
async def trailing(
    broker: Broker, file: FollowedFile, path: Path, name: str = "a", **claim: object
) -> AsyncIterator[TrailingLeader]:
    """A leader on a file, which has everything that is in the log."""
    log = log_of(broker)
    await log.prepare(1, timeline=1, position=0)
    term = await take_term(log, file.applier, Claim(name=name, trails=True, **claim))  # type: ignore[arg-type]
    ended: list[str] = []
    replicator = Replicator(partial(connect, broker.server), NAMES, term, on_end=ended.append)
    lacking = lacking_nothing(file.applier, term.number)
    file.connection.close()
    readers, store = ReaderPool(path), Store(path, next_upkeep=float("inf"))
    leader = TrailingLeader(store, Trailing(replicator, lacking, readers.connection), ended)
    try:
        yield leader
    finally:
        await leader.stop()
        readers.close()
        await asyncio.to_thread(store.close)


async def told() -> Told:
    return Told(position=5, timeline=3)


def play(scenario: Callable[[Broker], Awaitable[None]], folder: Path) -> None:
    async def played() -> None:
        async with broker_in(folder / "broker") as broker:
            await scenario(broker)

    asyncio.run(played())


def test_who_led_before_is_refused_and_its_last_events_are_in_no_log(tmp_path: Path):
    async def scenario(broker: Broker) -> None:
        with followed_file(tmp_path / "b.db") as other:
            async with trailing(broker, FollowedFile(tmp_path / "a.db"), tmp_path / "a.db") as leader:
                await leader.set_value("k", 1)
                log = log_of(broker)
                await take_term(log, other.applier, Claim(name="b", trails=True, told=told))
                # The old leader wakes up, as if it had been frozen.
                leader.send()
                await until(lambda: leader.ended)
                assert leader.ended == ["another one leads"]
                assert not await leader.trailing.finish(COMES_WITHIN_SECONDS)
                assert other.applier.head.position == 1
                assert other.applier.origin.timelines == ((1, 1), (4, 1))
                [(data,)] = other.connection.execute("SELECT data FROM events")
                assert msgspec.json.decode(data)["missing_events"] == 5
                history = History(leader.store.connection, Origin(STORE_ID, ((1, 1),)))
                assert await last_in_common(log, history, leader.store.writer.head) == Head()

    play(scenario, tmp_path)


def test_what_is_told_after_the_log_has_it_does_not_wait_for_it(tmp_path: Path):
    async def scenario(broker: Broker) -> None:
        async with trailing(broker, FollowedFile(tmp_path / "a.db"), tmp_path / "a.db") as leader:
            for number in range(2):
                await asyncio.to_thread(leader.store.send, "app_state.set", {"key": "k", "value": number})
            leader.send()
            await until(lambda: leader.trailing.state.position == 2)
            leader.tell()

            state = leader.trailing.state
            assert (state.lag_events, state.lag_seconds) == (0, 0.0)

    play(scenario, tmp_path)


def test_a_timeline_begins_unless_the_last_frame_came_or_who_led_leads_again(tmp_path: Path):
    async def scenario(broker: Broker) -> None:
        log = log_of(broker)
        file = FollowedFile(tmp_path / "a.db")
        async with trailing(broker, file, tmp_path / "a.db") as leader:
            leader.send()
            await leader.set_value("k", 1, "c-1")
            await until(lambda: leader.trailing.state.position == 1)
            await leader.stop()
            await leader.set_value("k", 2, "c-2")
        # Member a has all that it answered in that term, so it begins no timeline.
        again = Claim(
            name="a", trails=True, has_all=lambda end: end.place is not None and end.place.term == 1
        )
        with followed_file(tmp_path / "a.db") as file, followed_file(tmp_path / "b.db") as other:
            await take_term(log, file.applier, again)
            await catch_up(log, other.applier)
            assert other.applier.head.position == 2
            assert replicated_content(other.connection) == replicated_content(file.connection)

        async with trailing(
            broker, FollowedFile(tmp_path / "a.db"), tmp_path / "a.db", has_all=bool
        ) as leader:
            await leader.set_value("k", 3)
            leader.send()
            assert await leader.trailing.finish(COMES_WITHIN_SECONDS)
            assert leader.trailing.state.lag_events == 0
        with followed_file(tmp_path / "b.db") as other, followed_file(tmp_path / "c.db") as third:
            await take_term(log, other.applier, Claim(name="b", trails=True))
            assert (other.applier.head.position, other.applier.origin.timelines) == (3, ((1, 1),))
            # Leader b may have answered commands that it did not send, so c begins a timeline.
            await take_term(log, third.applier, Claim(name="c"))
            assert (third.applier.head.position, third.applier.origin.timelines) == (4, ((1, 1), (2, 4)))
            await catch_up(log, other.applier)
            assert replicated_content(other.connection) == replicated_content(third.connection)
            # A leader whose log does not trail sends before it answers, so no new timeline begins.
            await take_term(log, other.applier, Claim(name="b"))
            assert other.applier.head.position == 4

    play(scenario, tmp_path)


def test_a_file_with_a_timeline_that_the_log_has_lost_keeps_apart_and_begins_no_log(tmp_path: Path):
    async def scenario(broker: Broker) -> None:
        log = log_of(broker)
        async with trailing(broker, FollowedFile(tmp_path / "a.db"), tmp_path / "a.db") as leader:
            leader.send()
            await leader.set_value("k", 1)
            await until(lambda: leader.trailing.state.position == 1)
        with followed_file(tmp_path / "b.db") as second:
            await take_term(log, second.applier, Claim(name="b"))
            await lose_tail(broker, 2)
            # Leader c knows neither of the lost messages.
            file = FollowedFile(tmp_path / "c.db")
            async with trailing(broker, file, tmp_path / "c.db", "c", has_all=bool) as leader:
                leader.send()
                await leader.set_value("k", 2)
                await until(lambda: leader.trailing.state.position == 2)
            with pytest.raises(DivergedLogError) as apart:
                await take_term(log, second.applier, Claim(name="b"))
            assert not isinstance(apart.value, EarlierTimelineError)

    play(scenario, tmp_path)


def test_a_timeline_begins_where_a_log_was_deleted_and_others_were_told_of_more(tmp_path: Path):
    async def scenario(broker: Broker) -> None:
        log = log_of(broker)
        with followed_file(tmp_path / "b.db") as other:
            async with trailing(broker, FollowedFile(tmp_path / "a.db"), tmp_path / "a.db") as leader:
                leader.send()
                await leader.set_value("k", 1)
                await until(lambda: leader.trailing.state.position == 1)
                await catch_up(log, other.applier)
                await leader.stop()
                await leader.set_value("k", 2)
            await broker.api.delete(NAMES.log)
            await log.prepare(1, timeline=1, position=other.applier.head.position)
            await take_term(log, other.applier, Claim(name="b", trails=True, told=told))
            assert other.applier.origin.timelines == ((1, 1), (4, 2))
            # When file a comes back, it turns out that only it has position 2.
            with followed_file(tmp_path / "a.db") as file:
                common = await last_in_common(log, file.applier.history, file.applier.head)
                assert common is not None
                assert (common.position, file.applier.head.position) == (1, 2)

    play(scenario, tmp_path)


def test_who_answered_and_did_not_send_it_answers_as_who_led_next_once_it_is_back(tmp_path: Path):
    async def scenario(broker: Broker) -> None:
        log = log_of(broker)
        async with trailing(broker, FollowedFile(tmp_path / "a.db"), tmp_path / "a.db") as leader:
            leader.send()
            await leader.set_value("k", 1)
            await until(lambda: leader.trailing.state.position == 1)
            await leader.stop()
            # The command changes nothing, so the file has no event that others lack.
            await leader.set_value("k", 1, "again")
            await leader.set_value("k", 1, "lost")
        async with trailing(broker, FollowedFile(tmp_path / "b.db"), tmp_path / "b.db", "b") as leader:
            leader.send()
            await leader.set_value("k", 2)
            await leader.set_value("k", 1, "again")
            assert await leader.trailing.finish(COMES_WITHIN_SECONDS)
        with followed_file(tmp_path / "a.db") as file, followed_file(tmp_path / "b.db") as other:
            lost = Answers(file.connection).recall(["lost"])
            await catch_up(log, file.applier)
            assert file.applier.head == other.applier.head
            (answers, others) = (Answers(one.connection) for one in (file, other))
            assert answers.recall(["again"]) == others.recall(["again"])
            assert answers.recall(["lost"]) == lost
            verify_answers(file.connection)

    play(scenario, tmp_path)


def test_a_restored_file_begins_no_second_timeline_in_a_log_of_its_own(tmp_path: Path):
    async def scenario(broker: Broker) -> None:
        with followed_file(tmp_path / "a.db") as file:
            file.apply([fork_of(file.applier, 1, TimelineForked(timeline=2, restored_position=0), 1)])
            file.opened()
            log = log_of(broker)
            await log.prepare(1, timeline=2, position=1)
            await take_term(log, file.applier, Claim(name="a", trails=True, told=told))
            assert file.applier.origin.timelines == ((1, 1), (2, 1))

    play(scenario, tmp_path)


def test_a_timeline_that_the_log_has_lost_again_is_put_back(tmp_path: Path):
    async def scenario(broker: Broker) -> None:
        log = log_of(broker)
        async with trailing(broker, FollowedFile(tmp_path / "a.db"), tmp_path / "a.db") as leader:
            leader.send()
            await leader.set_value("k", 1, "c-1")
            await until(lambda: leader.trailing.state.position == 1)
        with followed_file(tmp_path / "b.db") as second, followed_file(tmp_path / "c.db") as third:
            await take_term(log, second.applier, Claim(name="b"))
            await catch_up(log, third.applier)
            # Loses the messages of the fork and of the term behind it.
            await lose_tail(broker, 2)
            await take_term(log, third.applier, Claim(name="c", has_all=bool))
            await catch_up(log, second.opened())
            with followed_file(tmp_path / "d.db") as last:
                await catch_up(log, last.applier)
                for file in (second, third, last):
                    assert file.applier.origin.timelines == ((1, 1), (2, 2))
                    assert replicated_content(file.connection) == replicated_content(third.connection)

    play(scenario, tmp_path)
