"""A store and its writer on a real file, whose disk fails now and then, and which is often opened anew."""

import math
import shutil
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import apsw
import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from bus.log import chain
from bus.log.answers import read_answers
from migrations.connection import open_reader, open_writer
from ops.backup.create import create_backup
from ops.backup.verify import verify_backup
from ops.store.projections_check import rebuild_file, verify
from tests.lab.state_machines.keys import WISHES, Ids, Keys, Wish, require_told
from tests.lab.state_machines.playing import Machine, play
from tests.support.clock import Clock
from tests.support.machines.failing_disk import VFS_NAME, failing_disk
from tests.support.stores.backing_up import VERSION
from tests.support.stores.life import frequently_kept_states
from tests.support.stores.looking_inside import log_of
from tests.support.stores.writing import Reply, Sent, Store, batch, single

# Changes by hand of a table that must follow from the log alone.
DAMAGES = (
    "DELETE FROM app_state WHERE key = (SELECT min(key) FROM app_state)",
    "UPDATE app_state SET value = '\"other\"'",
    "INSERT INTO app_state (key, value, updated_at, version, position) VALUES ('stray', '1', 1, 1, 1)",
)


class Storing(Machine):
    """A store, and the model of its content."""

    def __init__(self) -> None:
        super().__init__()
        self._around = ExitStack()
        self._folder = Path(self._around.enter_context(TemporaryDirectory(prefix="storing-")))
        self._around.enter_context(frequently_kept_states())
        self._disk = self._around.enter_context(failing_disk())
        self._path = self._folder / "data" / "hyperpage.db"
        self._path.parent.mkdir()
        self._clock = Clock()
        self._store = self._opened()
        self._model = Keys()
        self._ids = Ids()

    def _opened(self) -> Store:
        # Only the writer is on the failing disk: readers have the usual one.
        apsw.set_default_vfs(VFS_NAME)
        try:
            # Next to no cache: states come from snapshots and from the log.
            return Store(self._path, self._clock, cache_capacity=2, next_upkeep=math.inf)
        finally:
            apsw.set_default_vfs(self._disk.base)

    def teardown(self) -> None:
        try:
            self._disk.heal()
            self._store.close()
            self._require_tables(self._path)
            assert verify(self._path)["equal"], "the tables are not what the log says"
            self.counts.update(stories=1, events=self._model.position, answers=len(self._model.answers))
        finally:
            self._around.close()

    # Acts and faults

    @rule(milliseconds=st.sampled_from([1, 999, 60_000, -1]))
    def time_goes_by(self, milliseconds: int) -> None:
        self._clock.now += milliseconds

    @rule(wishes=st.lists(WISHES, min_size=1, max_size=4))
    def send(self, wishes: list[Wish]) -> None:
        """Sends commands that the writer takes as one group."""
        sent = self._ids.sent(wishes)
        for reply, told in zip(self._store.send_together(*sent), self._told(self._model, sent), strict=True):
            require_told(reply, told)

    @rule(wishes=st.lists(WISHES, min_size=1, max_size=4), is_atomic=st.booleans())
    def send_batch(self, wishes: list[Wish], is_atomic: bool) -> None:
        sent = self._ids.sent(wishes)
        trial = self._model.copy()
        told = self._told(trial, sent)
        (reply,) = self._store.submit([batch(*sent, atomic=is_atomic)])
        refused = next((number for number, one in enumerate(told) if isinstance(one, str)), None)
        if is_atomic and refused is not None:
            assert (reply.code, reply["error"]["details"]["index"]) == (told[refused], refused)
            return
        self._model = trial
        assert reply.code is None
        for outcome, one in zip(reply.outcomes, told, strict=True):
            require_told(Reply(msgspec.json.encode(outcome)), one)

    @precondition(lambda self: self._model.answers)
    @rule(which=st.integers(0, 99), wish=WISHES)
    def send_again(self, which: int, wish: Wish) -> None:
        """Sends a command again, and another one with the same id, beside a new one."""
        known = list(self._model.answers.values())
        sent = known[which % len(known)].sent
        other = Sent(wish.name, wish.body, sent.id, wish.expected_version)
        commands = [sent, *self._ids.sent([wish]), other, sent]
        told = self._told(self._model, commands)
        for reply, one in zip(self._store.send_together(*commands), told, strict=True):
            require_told(reply, one)

    @rule(operation=st.sampled_from(["sync", "write"]), wishes=st.lists(WISHES, min_size=1, max_size=3))
    def fail_to_commit(self, operation: str, wishes: list[Wish]) -> None:
        """Checks that a group whose commit fails leaves no trace, and can be sent again."""
        sent = self._ids.sent(wishes)
        trial = self._model.copy()
        told = self._told(trial, sent)
        with self._store.held():
            waiting = self._store.post(map(single, sent))
            self._disk.fail(operation)
        replies = [answer() for answer in waiting]
        has_failed = bool(self._disk.failed)
        self._disk.heal()
        if (trial.position, len(trial.answers)) != (self._model.position, len(self._model.answers)):
            assert has_failed, "nothing was written for what was to be stored"
        if has_failed:
            assert {reply.code for reply in replies} == {"unavailable"}
            replies = self._store.send_together(*sent)
        self._model = trial
        for reply, one in zip(replies, told, strict=True):
            require_told(reply, one)

    @rule()
    def open_again(self) -> None:
        self._store.close()
        self._store = self._opened()

    @rule()
    def end_at_once(self) -> None:
        """Ends as by `kill -9`: the next start finds the files as they are at this moment."""
        as_is = self._folder / "as-is"
        shutil.copytree(self._path.parent, as_is, ignore=shutil.ignore_patterns("*-shm"))
        self._store.close()
        shutil.rmtree(self._path.parent)
        as_is.rename(self._path.parent)
        self._store = self._opened()

    @rule()
    def forget_kept_states(self) -> None:
        """Deletes all snapshots: they only shorten reading."""
        self._store.in_writer(lambda connection: connection.execute("DELETE FROM snapshots"))

    @rule(damage=st.sampled_from(DAMAGES))
    def rebuild(self, damage: str) -> None:
        """Checks that a changed table is found, and is made again by a rebuild."""
        self._store.close()
        with closing(open_writer(self._path)) as connection:
            before = connection.total_changes()
            connection.execute(damage)
            is_changed = connection.total_changes() > before
        assert verify(self._path)["equal"] is not is_changed
        rebuild_file(self._path)
        self._store = self._opened()

    @rule()
    def back_up(self) -> None:
        """Checks that a backup has the log, the tables and the answers of its moment."""
        made = create_backup(self._path, self._folder / "backups", version=VERSION, now_ms=self._clock.now)
        verify_backup(made.place)
        assert log_of(made.path) == self._store.rows()
        self._require_tables(made.path)

    # What must always hold

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        rows = self._store.rows()
        assert [row.position for row in rows] == list(range(1, len(rows) + 1)), "positions have gaps"
        ids = self._model.answers.keys()
        assert [
            (row.stream, row.version, row.command_id if row.command_id in ids else None) for row in rows
        ] == [(one.stream, one.version, one.command_id) for one in self._model.log]
        times = [row.recorded_at for row in rows]
        assert times == sorted(times), "times decrease along the log"
        assert self._store.in_writer(chain.verify_chain) == self._store.writer.head

        self._require(
            *self._store.in_writer(lambda connection: (_rows(connection), read_answers(connection, 0)))
        )

    def _require_tables(self, path: Path) -> None:
        with closing(open_reader(path)) as connection:
            self._require(_rows(connection), read_answers(connection, 0))

    def _require(self, rows: dict[str, str], answers: Sequence[Any]) -> None:
        assert rows == self._model.rows, "the table is not what the log says"
        remembered = {one.command_id: one.answer.encode() for one in answers}
        assert remembered == {key: one.body for key, one in self._model.answers.items()}

    def _told(self, model: Keys, sent: Sequence[Sent]) -> list[bytes | str]:
        self.counts["commands"] += len(sent)
        return [model.tell(one, self._clock.now) for one in sent]


def _rows(connection: Any) -> dict[str, str]:
    return dict(connection.execute("SELECT key, value FROM app_state"))


def played(chance: int, *, stories: int, steps: int) -> dict[str, int]:
    return play(Storing, chance, stories=stories, steps=steps)
