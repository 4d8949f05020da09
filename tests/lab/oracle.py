"""Checks of everything that must hold after any faults of a service: each returns, or raises `Broken`.

The answers that clients saw are given to them; no check relies on the service's own reports.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import apsw

from bus.contract.codec import OWNED_BY
from bus.log import chain
from bus.log.answers import Answers
from domain.catalogue import EVENT_TYPES, TIMELINE_STREAM, VERBS
from migrations.connection import open_reader
from ops.backup.metadata import list_backups
from ops.backup.restoring.restore import restore
from ops.backup.restoring.restore_path import Moment
from ops.backup.verify import verify_backup
from ops.http.access.tokens import TokenFile
from ops.store.projections_check import verify
from ops.targets.errors import BackupError
from ops.targets.places import Places
from tests.lab.experiment import Broken
from tests.support.stores.looking_inside import log_of

VERSION = "0.0.0"
# Events of internal commands, which no client sends.
_OWN = {event for _, verb in VERBS.values() if verb.internal for event in verb.events}
_OWN_EVENTS = {name for name, event in EVENT_TYPES.items() if event in _OWN}


class Answered(NamedTuple):
    """An accepted command, as its sender saw it; `owner` is the user under which it is remembered."""

    command_id: str
    name: str
    answer: bytes
    owner: str | None = None

    @property
    def is_remembered(self) -> bool:
        """True if the same id gets the same bytes again; a repeated empty claim may find jobs."""
        verb = VERBS[self.name][1]
        return verb.remembered and (verb.empty_is_remembered or bool(json.loads(self.answer)["events"]))


def require_store(store: Path, sent: Collection[str], answered: Iterable[Answered]) -> None:
    """Checks that a stopped service's file is whole, its tables fit its log, and all answers are in it.

    The bytes of each answer are there, too, at its position and under its id. `sent` are the ids of all
    commands that were ever sent: nothing else is there, except what the service does by itself.
    """
    try:
        rows = _rows(store)
        _require_answers(store, rows, sent, list(answered))
        verdict = verify(store)
    except (apsw.Error, chain.BrokenChainError) as error:
        raise Broken(f"{store.name} cannot be read: {error}") from error
    if not verdict["equal"]:
        raise Broken(f"the tables are not what the log says: {verdict['tables']}")


def require_backups(places: Places, listed: Iterable[str], scratch: Path) -> int:
    """Checks that all backups that were listed once are there and sound, and that the newest can be restored.

    `scratch` is an empty folder, into which that one is restored. Returns the number of backups.
    """
    there = list_backups(places.backups)
    if missing := set(listed) - {one.name for one in there}:
        raise Broken(f"backups that were listed are gone: {sorted(missing)}")
    try:
        for one in there:
            verify_backup(one.place)
        if there:
            target = Places(store=scratch / "hyperpage.db", backups=places.backups, archive=places.archive)
            restore(target, Moment(backup=there[0].name), version=VERSION, safety=False)
            found = log_of(target.store)
            if found[:-1] != log_of(there[0].path) or found[-1].stream != TIMELINE_STREAM:
                raise Broken(f"{there[0].name} comes back as something else")
    except (BackupError, OSError, apsw.Error) as error:
        raise Broken(f"a backup is not sound: {error}") from error
    return len(there)


def require_tokens(data: Path, good: Iterable[str], revoked: Iterable[str]) -> None:
    """Checks that the tokens with the ids `good` are valid, and those with the ids `revoked` are not."""
    known = {one.id: one.revoked_at is None for one in TokenFile(data).read()}
    if missing := [one for one in good if not known.get(one)]:
        raise Broken(f"tokens that were made let nobody in: {missing}")
    if back := [one for one in revoked if known.get(one)]:
        raise Broken(f"tokens that were revoked are good again: {back}")


def _rows(store: Path) -> list[chain.Row]:
    with closing(open_reader(store)) as connection:
        if (said := connection.pragma("quick_check")) != "ok":
            raise Broken(f"{store.name} is damaged: {said}")
        chain.verify_chain(connection)
    return log_of(store)


def _require_answers(
    store: Path, rows: list[chain.Row], sent: Collection[str], answered: list[Answered]
) -> None:
    counted = Counter(row.command_id for row in rows)
    for row in rows:
        if row.command_id not in sent and row.type not in _OWN_EVENTS and row.stream != TIMELINE_STREAM:
            raise Broken(f"position {row.position} is a {row.type} of a command that nobody sent")
    with closing(open_reader(store)) as connection:
        remembered = [one for one in answered if one.is_remembered]
        kept = Answers(connection).recall({_kept_as(one) for one in remembered})
    for one in remembered:
        found = kept.get(_kept_as(one))
        if found is None or found.answer.encode() != one.answer:
            raise Broken(f"{one.name} was answered with {one.answer!r}, and is remembered as {found}")
    for one in answered:
        said = json.loads(one.answer)
        last: int = said["position"] or 0
        types = [
            row.type for row in rows[last - len(said["events"]) : last] if row.command_id == one.command_id
        ]
        if types != said["events"] or counted[one.command_id] != len(types):
            raise Broken(
                f"{one.name} was answered with {said['events']} up to position {last}; of its id are"
                f" {types} there, and {counted[one.command_id]} in all (the log ends at {len(rows)})"
            )


def _kept_as(one: Answered) -> str:
    return one.command_id if one.owner is None else f"{one.command_id}{OWNED_BY}{one.owner}"
