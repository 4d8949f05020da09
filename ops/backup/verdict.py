"""Which copy of a store is wrong, and what repairs it at the least loss: `judge`.

The store, its backups, its archive and the stream are copies of one log. Each copy is checked by itself
(SQLite's checks, checksums, hashes), and compared with the others. The doctor, `backup verify` and the health
of a service all use this verdict, so they say the same.
"""

from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from threading import Event

import msgspec

from bus.log import chain
from bus.log.answers import UNREADABLE
from domain.counting import counted
from migrations.connection import open_reader
from migrations.from_disk import forget
from migrations.sqlite_words import words_of
from ops.backup.metadata import Backup, list_backups
from ops.backup.restoring.plan import Plan, known_end, lost_end, plan_restore
from ops.backup.restoring.present import Present, read_present
from ops.backup.restoring.restore_path import Moment
from ops.backup.sound import require_sound, verify_log
from ops.backup.verify import verify_backup
from ops.progress import Progress, ignore_progress
from ops.store.projections_check import verify
from ops.store.troubles import require_damage
from ops.targets.errors import BackupError
from ops.targets.places import Places
from ops.targets.sealing import Identities

STORE = "the store"
RESTORE = "hyperpage backup restore --latest --yes"
# SQLite asks whether to go on after this many steps of its virtual machine.
_STEPS = 20_000
_OTHER_LOG = "its log is another one"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The damaged copies in `wrong`, each with the reason, and what to do about it in `repair`.

    `reaches` is the last position after the repair. `lost` is the number of known events that no copy has
    then; `None` if nothing says how many there were.
    """

    wrong: dict[str, str]
    repair: str = ""
    reaches: int | None = None
    lost: int | None = 0

    @property
    def loses_nothing(self) -> bool:
        """Whether all known events are there after the repair."""
        return self.lost == 0

    @property
    def message(self) -> str:
        """The damaged copies, each with the reason, in words."""
        return "; ".join(f"{copy} is wrong: {why}" for copy, why in self.wrong.items()) or "nothing is wrong"

    @property
    def hint(self) -> str:
        """The repair, and the events that it loses."""
        if not self.repair:
            return ""
        if self.lost is None:
            lost = f"; it reaches position {self.reaches}, and nothing tells whether there was more"
        elif self.lost:
            behind = counted(self.lost, "event behind is", "events behind are")
            lost = f"; it reaches position {self.reaches}, and {behind} had nowhere"
        else:
            lost = "; nothing is lost with it"
        return f"{self.repair}{lost}"


def judge(
    places: Places,
    *,
    store_problem: str | None = None,
    wrong: Mapping[str, str] | None = None,
    known: int = 0,
    identities: Identities = (),
    progress: Progress = ignore_progress,
) -> Verdict:
    """The verdict about a store and its copies.

    `store_problem` and `wrong` (backups and segments, by their names) are damage that the caller has found.
    `known` is the last position that is known elsewhere, for example to the stream. The whole store is
    checked, unless the caller has found a problem in it.

    Raises:
        OSError: a folder cannot be read, or a bucket is away.
    """
    found = dict(wrong or {})
    if store_problem is None:
        store_problem = problem_of_store(places.store)
    store_problem = store_problem or lost_end(places)
    if store_problem is None:
        differing, store_problem = _compared(places, identities, progress)
        found |= differing
    if store_problem is None and (tables := _wrong_tables(places.store)):
        found[STORE] = f"its tables are not what its log says: {', '.join(tables)}"
        return Verdict(wrong=found, repair="`hyperpage projections rebuild`")
    if store_problem is None:
        return Verdict(wrong=found, repair=_repair_of(found))
    found = {STORE: store_problem, **found}
    try:
        plan = plan_restore(places, Moment(latest=True), identities=identities, check=True, progress=progress)
    except BackupError as error:
        return Verdict(
            wrong=found,
            repair=f"nothing leads back ({error.message}); keep the file, and `.recover` of SQLite's shell",
            reaches=0,
            lost=None,
        )
    named = {Path(place).name: why for place, why in plan.passed_over.items()}
    present = read_present(places.store)
    return Verdict(
        wrong=found | named,
        repair=f"stop the service, and `{RESTORE}`",
        reaches=plan.position,
        lost=_lost(places, plan, present, known),
    )


def problem_of_store(store: Path, stopping: Event | None = None) -> str | None:
    """The damage of a store's file, all of which is read from its disk; `None` if it is sound.

    Once `stopping` is set, the check ends soon, and its answer means nothing.
    """
    if not store.exists():
        return f"there is no {store.name}"
    try:
        with closing(open_reader(store, cache_kib=4 * 1024)) as connection:
            forget(store)
            if stopping is not None:
                connection.set_progress_handler(stopping.is_set, _STEPS)
            require_sound(connection, store.name, thorough=True)
            verify_log(connection)
    except BackupError as error:
        return error.message
    except (*UNREADABLE, chain.BrokenChainError) as error:
        require_damage(error, store.name)
        return f"{store.name} is damaged: {words_of(error)}"
    return None


def _lost(places: Places, plan: Plan, present: Present | None, known: int) -> int | None:
    """The number of known events that the plan does not bring back; `None` if nothing tells the end."""
    end = max(known, known_end(places, present))
    return None if end == 0 else max(0, end - plan.position)


def _compared(
    places: Places, identities: Identities, progress: Progress
) -> tuple[dict[str, str], str | None]:
    """The backups that are damaged, or have another log than the store; and the store's problem, if any.

    The store's log counts as the wrong one if the backups with another log outnumber all copies of its log.
    """
    agreeing, differing = 0, list[Backup]()
    present = read_present(places.store)
    if present is None or present.head is None:
        return {}, None
    with suppress(*UNREADABLE), closing(open_reader(places.store)) as connection:
        for one in list_backups(places.backups, present.store_id, places.signing):
            position = one.metadata.position
            history = tuple(each for each in present.timelines if each[1] <= position)
            is_behind = position > present.head.position
            if one.status == "damaged" or one.metadata.timelines != history or is_behind or position == 0:
                continue
            row = chain.read_at(connection, position)
            if row is not None and row.hash.hex() == one.metadata.head_hash:
                agreeing += 1
            else:
                differing.append(one)
    wrong, others = {}, {}
    for one in differing:
        # Perhaps only the metadata is wrong, or the backup is damaged.
        why = _problem_of_backup(one, places, identities, progress)
        if why is None:
            position = one.metadata.position
            others[one.name] = f"{_OTHER_LOG} than the store's at position {position}"
        else:
            wrong[one.name] = why
    if len(others) > agreeing + 1:
        return wrong, f"{_OTHER_LOG} than that of {len(others)} backups: {', '.join(others)}"
    return wrong | others, None


def _problem_of_backup(
    backup: Backup, places: Places, identities: Identities, progress: Progress
) -> str | None:
    """The damage of a backup, all of which is read as far as there is a key; `None` if it is sound."""
    try:
        verify_backup(
            backup.place,
            identities=identities,
            signing=places.signing,
            scratch=places.store.parent,
            progress=progress,
        )
    except BackupError as error:
        return None if error.reason == "encrypted" else error.message
    return None


def _wrong_tables(store: Path) -> list[str]:
    return [
        name
        for name, table in verify(store)["tables"].items()
        if table["missing"] or table["unexpected"] or table["different"]
    ]


def _repair_of(wrong: Mapping[str, str]) -> str:
    """Instructions for damaged copies while the store is sound; empty if there is nothing to do."""
    backups = [name for name in wrong if name.startswith("hyperpage-backup-")]
    # A sound backup with another log may have events that no other copy has.
    others = [name for name in backups if wrong[name].startswith(_OTHER_LOG)]
    damaged = [name for name in backups if name not in others]
    steps = [f"keep {name}: it is whole, and has another history" for name in others[:3]]
    if damaged:
        steps.append("`hyperpage backup create` makes another one")
    steps += [f"`hyperpage backup delete {name} --yes`" for name in damaged[:3]]
    if len(wrong) > len(backups):
        steps.append(
            "move the damaged segments away and start the service again, which writes them from its log"
        )
    if not steps:
        return ""
    return f"the store is well: {'; '.join(steps)}"
