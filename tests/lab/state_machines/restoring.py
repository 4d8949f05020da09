"""A store with backups and an archive, some of them damaged, and restores to any moment."""

import asyncio
import shutil
from bisect import bisect_right
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from bus.log import chain
from bus.log.answers import read_answers
from bus.log.reader_pool import ReaderPool
from domain.catalogue import TIMELINE_STREAM
from hyperpage_client.waiting import UNTRIED
from migrations.connection import open_reader
from ops.archive.archiver import Archiver
from ops.archive.segment import list_segments
from ops.backup.create import create_backup
from ops.backup.metadata import list_backups
from ops.backup.restoring.plan import plan_restore
from ops.backup.restoring.restore import Restored, restore
from ops.backup.restoring.restore_path import Moment
from ops.store.projections_check import verify
from ops.targets.errors import BackupError
from ops.targets.places import Places
from tests.lab.state_machines.keys import GONE, TABLE, WISHES, Ids, Keys, Wish, require_told
from tests.lab.state_machines.playing import Machine, play
from tests.support.clock import Clock
from tests.support.patience import until
from tests.support.stores.backing_up import VERSION
from tests.support.stores.looking_inside import log_of
from tests.support.stores.writing import Store

Outcome = TypeVar("Outcome")


class Line(NamedTuple):
    """A history at one moment: the model, and the rows of the log."""

    keys: Keys
    rows: list[chain.Row]

    @property
    def reaches(self) -> tuple[int, int]:
        return self.keys.timeline, len(self.rows)


def _flip(content: bytearray, at: int) -> bytes:
    content[at % len(content)] ^= 1 << at % 8
    return bytes(content)


def _cut(content: bytearray, at: int) -> bytes:
    return bytes(content[: at % len(content)])


_DAMAGES = st.sampled_from([_flip, _flip, _cut])
_PLACES = st.integers(0, 2**20)


class Restoring(Machine):
    """A store, its backups and its archive, and the model of what a restore must lead to."""

    def __init__(self) -> None:
        super().__init__()
        self._around = ExitStack()
        folder = Path(self._around.enter_context(TemporaryDirectory(prefix="restoring-")))
        self._places = Places(
            store=folder / "data" / "hyperpage.db", backups=folder / "backups", archive=folder / "archive"
        )
        self._path = folder / "data" / "hyperpage.db"
        self._path.parent.mkdir()
        self._beside = folder / "beside"
        self._clock = Clock()
        self._ids = Ids()
        self._model = Keys()
        # The history in each backup, by its name.
        self._backups: dict[str, Line] = {}
        self._damaged: set[str] = set()
        self._archived: Line | None = None
        self._archive_is_whole = True
        self._open()

    def _open(self) -> None:
        self._store = Store(self._path, self._clock, synced=False)
        self._readers = ReaderPool(self._path)
        self._archiver = Archiver(
            self._places.archive, self._store.origin, self._readers.connection, store=self._path
        )
        self._told = 0

    def _close(self) -> None:
        self._readers.close()
        self._store.close()

    def teardown(self) -> None:
        try:
            with suppress(Exception):
                self._close()
            self.counts.update(stories=1)
        finally:
            self._around.close()

    # Acts, and checks of their outcome

    @initialize(wishes=st.lists(WISHES, min_size=3, max_size=8))
    def begin(self, wishes: list[Wish]) -> None:
        self.send(wishes, 1_000)

    @rule(wishes=st.lists(WISHES, min_size=1, max_size=6), milliseconds=st.integers(0, 3_000))
    def send(self, wishes: list[Wish], milliseconds: int) -> None:
        self._clock.now += milliseconds
        sent = self._ids.sent(wishes)
        told = [self._model.tell(one, self._clock.now) for one in sent]
        for reply, one in zip(self._store.send_together(*sent), told, strict=True):
            require_told(reply, one)
        self.counts["commands"] += len(sent)

    @rule(has_id=st.booleans())
    def change_nothing(self, has_id: bool) -> None:
        """Sends a value that is there already: its answer comes after the last event, at that position."""
        for stream, values in self._model.streams.items():
            if stream.startswith(TABLE) and values[-1] is not GONE:
                body = {"key": stream.removeprefix(f"{TABLE}/"), "value": values[-1]}
                self.send([Wish("app_state.set", body, None, has_id)], 0)
                return

    @rule()
    def archive(self) -> None:
        """Archives all there is."""
        for commit in self._store.commits[self._told :]:
            self._archiver.notify(commit)
        self._told = len(self._store.commits)
        problem = asyncio.run(self._archive())
        if problem is not None:
            # The archiver writes nothing behind a damaged segment.
            assert not self._archive_is_whole, problem
        elif list_segments(self._places.archive):
            self._archived = self._line()

    async def _archive(self) -> str | None:
        """Archives everything; returns the problem that keeps the archive from being complete."""
        archiver = self._archiver
        task = asyncio.create_task(archiver.run())
        await until(
            lambda: archiver.state.position == self._model.position or archiver.state.problem != UNTRIED
        )
        await archiver.stop()
        await task
        state = archiver.state
        assert state.position == self._model.position or state.problem is not None, state
        return state.problem

    @precondition(lambda self: len(self._backups) < 6)
    @rule()
    def back_up(self) -> None:
        made = create_backup(self._path, self._places.backups, version=VERSION, now_ms=self._clock.now)
        self._backups[made.name] = self._line()

    @precondition(lambda self: self._backups.keys() - self._damaged)
    @rule(which=st.integers(0, 5), how=_DAMAGES, where=_PLACES)
    def damage_a_backup(self, which: int, how: Callable[[bytearray, int], bytes], where: int) -> None:
        sound = [name for name in self._backups if name not in self._damaged]
        name = sound[which % len(sound)]
        self._damage(Path(str(self._places.backups)) / name, how, where)
        self._damaged.add(name)

    @precondition(lambda self: self._archived is not None)
    @rule(which=st.integers(0, 20), how=_DAMAGES, where=_PLACES)
    def damage_the_archive(self, which: int, how: Callable[[bytearray, int], bytes], where: int) -> None:
        segments = list_segments(self._places.archive)
        self._damage(Path(str(segments[which % len(segments)].place)), how, where)
        self._archive_is_whole = False

    def _damage(self, file: Path, how: Callable[[bytearray, int], bytes], where: int) -> None:
        file.write_bytes(how(bytearray(file.read_bytes()) or bytearray(1), where))

    # Restores

    @rule(share=st.floats(0, 1), is_gone=st.booleans(), safety=st.booleans())
    def restore_a_position(self, share: float, is_gone: bool, safety: bool) -> None:
        position = round(share * (self._model.position + 1))
        must = self._leads_to(position, is_gone)
        done = self._restore(Moment(position=position), is_gone, safety, must)
        assert done is None or done.position == position

    @precondition(lambda self: self._model.position)
    @rule(share=st.floats(0, 1), is_gone=st.booleans())
    def restore_a_time(self, share: float, is_gone: bool) -> None:
        times = [row.recorded_at for row in self._store.rows()]
        time = times[0] + round(share * (times[-1] + 1 - times[0]))
        position = bisect_right(times, time)
        done = self._restore(Moment(time=time), is_gone, True, self._leads_to(position, is_gone))
        # If the store is gone, the newest remaining history may be another one.
        assert done is None or is_gone or done.position == position

    @precondition(lambda self: self._backups)
    @rule(which=st.integers(0, 5), is_gone=st.booleans())
    def restore_a_backup(self, which: int, is_gone: bool) -> None:
        name = list(self._backups)[which % len(self._backups)]
        line, is_sound = self._backups[name], name not in self._damaged
        done = self._restore(Moment(backup=name), is_gone, True, is_sound)
        assert (done is not None) == is_sound, f"{name} is restored though it is damaged"
        assert done is None or done.position == len(line.rows)

    @rule(is_gone=st.booleans(), safety=st.booleans())
    def restore_the_latest(self, is_gone: bool, safety: bool) -> None:
        if not is_gone:
            is_known = self._model.position > 0
            ends = self._model.position
        else:
            sources = self._whole_sources()
            is_known = bool(sources)
            ends = max(sources)[1] if sources and max(sources) >= self._highest_reach() else 0
        done = self._restore(Moment(latest=True), is_gone, safety, is_known)
        assert done is None or done.position >= ends, (done, ends)

    def _restore(self, moment: Moment, is_gone: bool, safety: bool, must: bool) -> Restored | None:
        """Restores; returns the result, or `None` if it was refused, which is wrong if it `must` work."""
        was = self._line()
        self._close()
        if is_gone:
            self._set_aside()
        before = _content(self._path.parent)
        known = self._known_timelines(is_gone)
        planned = _attempt(lambda: plan_restore(self._places, moment, check=True))
        done = _attempt(
            lambda: restore(self._places, moment, version=VERSION, safety=safety, now_ms=self._clock.now)
        )
        self._note_backups(was)
        if isinstance(done, BackupError):
            assert not must, f"{moment} was refused: {done}"
            assert isinstance(planned, BackupError), "a plan says something else than the restore"
            assert planned.reason == done.reason, "a plan says something else than the restore"
            assert _content(self._path.parent) == before, "the store was touched"
            self._put_back(is_gone)
            self.counts["restores refused"] += 1
            return None
        assert not isinstance(planned, BackupError), f"a plan says something else than the restore: {planned}"
        assert (planned.position, planned.timeline) == (done.position, done.timeline), (planned, done)
        assert done.timeline > max(known, default=0), "a timeline has the number of another"
        self._require_restored(done, was, is_gone)
        self._forget_set_aside()
        self.counts["restores"] += 1
        return done

    def _require_restored(self, done: Restored, was: Line, is_gone: bool) -> None:
        rows = log_of(self._path)
        kept, fork = rows[: done.position], rows[done.position :]
        lines = [was] if not is_gone else [*self._backups.values(), *filter(None, [self._archived])]
        if not is_gone and done.backup in map(str, (self._backup(name) for name in self._backups)):
            lines += self._backups.values()
        same = [one for one in lines if one.rows[: done.position] == kept and len(kept) == done.position]
        # Copies that were made later have more answers, of commands that changed nothing.
        line = max(same, key=lambda one: len(one.keys.up_to(done.position).answers), default=None)
        assert line is not None, f"{done} is of no history that there was"
        assert [row.stream for row in fork] == [TIMELINE_STREAM]
        before = self._clock.now
        self._model = line.keys.forked(done.position, done.timeline, before)
        assert verify(self._path)["equal"], "the tables are not what the log says"
        with closing(open_reader(self._path)) as connection:
            assert dict(connection.execute("SELECT key, value FROM app_state")) == self._model.rows
            answers = {one.command_id: one.answer.encode() for one in read_answers(connection, 0)}
        told = {key: one.body for key, one in self._model.answers.items()}
        # The answer to a command that changed nothing may be newer than the last sound copy.
        ends = {done.position}
        if not self._archive_is_whole:
            ends |= {len(one.rows) for one in self._backups.values()}
        last = {
            key
            for key, one in self._model.answers.items()
            if one.position in ends and b'"events":[]' in one.body
        }
        assert answers.items() <= told.items()
        assert told.keys() - answers.keys() <= last, "answers are forgotten"
        for key in told.keys() - answers.keys():
            del self._model.answers[key]
        self._open()

    # The present state

    def _line(self) -> Line:
        return Line(self._model.copy(), self._store.rows())

    def _backup(self, name: str) -> Path:
        return Path(str(self._places.backups)) / name

    def _note_backups(self, line: Line) -> None:
        """Notes the safety backups that a restore has made."""
        for one in list_backups(self._places.backups):
            self._backups.setdefault(one.name, line)

    def _known_timelines(self, is_gone: bool) -> list[int]:
        known = [one.metadata.timeline for one in list_backups(self._places.backups)]
        known += [one.timeline for one in list_segments(self._places.archive)]
        return known if is_gone else [*known, self._model.timeline]

    def _whole_sources(self) -> list[tuple[int, int]]:
        """The timeline and position that each sound copy reaches, without the present store."""
        found = [line.reaches for name, line in self._backups.items() if name not in self._damaged]
        if self._archived is not None and self._archive_is_whole:
            found.append(self._archived.reaches)
        return found

    def _highest_reach(self) -> tuple[int, int]:
        lines = [*self._backups.values(), *filter(None, [self._archived])]
        return max((one.reaches for one in lines), default=(0, 0))

    def _leads_to(self, position: int, is_gone: bool) -> bool:
        """True if a restore to a position must not be refused."""
        if not is_gone:
            return 0 < position <= self._model.position
        sources = self._whole_sources()
        highest = max(sources, default=(0, 0))
        return highest == self._highest_reach() and 0 < position <= highest[1]

    def _set_aside(self) -> None:
        shutil.copytree(self._path.parent, self._beside)
        for one in self._path.parent.glob(f"{self._path.name}*"):
            one.unlink()

    def _put_back(self, is_gone: bool) -> None:
        if is_gone:
            shutil.rmtree(self._path.parent)
            self._beside.rename(self._path.parent)
        self._open()

    def _forget_set_aside(self) -> None:
        shutil.rmtree(self._beside, ignore_errors=True)


def _attempt(attempt: Callable[[], Outcome]) -> Outcome | BackupError:
    try:
        return attempt()
    except BackupError as error:
        return error


def _content(folder: Path) -> dict[str, bytes]:
    """The content of a closed store's files, without empty ones: a reader may leave an empty WAL."""
    files = {one.name: one.read_bytes() for one in folder.glob("hyperpage.db*") if one.is_file()}
    return {name: content for name, content in files.items() if content and not name.endswith("-shm")}


def played(chance: int, *, stories: int, steps: int) -> dict[str, int]:
    return play(Restoring, chance, stories=stories, steps=steps)
