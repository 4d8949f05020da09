"""The states of a disk after a power cut: `Disk` follows a recording, and writes out what a cut may leave.

Two promises of file systems:

    strict      POSIX: data are there once the file was synced, a name once its folder was; else, anything
    journal     ext4's ordered mode: names come in the order of their changes, and a sync that has news for
                the journal brings along all names before it; a file grows from its beginning on
"""

import os
import random
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from tests.lab.cuts.recording import ROOT, SETTLED, Change


class Model(Enum):
    STRICT = "strict"
    JOURNAL = "journal"


class Rest(Enum):
    """How much of the changes that were not synced is there after a cut."""

    NONE = "none"
    ALL = "all"
    SOME = "a random subset"
    LATE = "the later part"
    BUT_ONE = "all but one"
    SECTORS = "torn at 512 bytes"
    PAGES = "torn at 4 KiB"


_TORN = {Rest.SECTORS: 512, Rest.PAGES: 4096}


class _Write(NamedTuple):
    """A change of a file: data, or a new size if there are none."""

    offset: int
    data: bytes | None
    grows: bool


class _File:
    def __init__(self, *, is_folder: bool, mode: int) -> None:
        self.is_folder = is_folder
        self.mode = mode & 0o7777
        self.durable = bytearray()
        self.pending: list[_Write] = []
        self.size = 0

    def write(self, one: _Write) -> None:
        self.pending.append(one)
        end = one.offset + len(one.data or b"")
        self.size = end if one.data is None else max(self.size, end)

    def sync(self) -> None:
        for one in self.pending:
            _apply(self.durable, one)
        self.pending.clear()


# The file that a name in a folder stands for from now on; None: the name is gone.
_Entry = tuple[tuple[int, str], int | None]


class Disk:
    """The disk at one moment of a recording: its synced content, and the changes that were not synced.

    `is_ignored` tells, by its site, if a sync does nothing here.
    """

    def __init__(self, model: Model, is_ignored: Callable[[str], bool] = lambda site: False) -> None:
        self._model = model
        self._is_ignored = is_ignored
        self._files = {ROOT: _File(is_folder=True, mode=0o700)}
        self._durable: dict[tuple[int, str], int] = {}
        self._live: dict[tuple[int, str], int] = {}
        # Changes of names that no sync has brought to the disk, each of one or two entries.
        self._pending: list[list[_Entry]] = []
        # Files whose size or existence is new to the journal.
        self._news: set[int] = set()

    def follow(self, change: Change) -> None:
        """Follows one step of the recording."""
        file = self._files.get(change.file)
        match change.kind:
            case "create" | "folder":
                is_folder = change.kind == "folder"
                self._files[change.other] = _File(is_folder=is_folder, mode=change.offset)
                self._name([((change.file, change.name), change.other)])
                self._news.add(change.other)
            case "link":
                self._name([((change.file, change.name), change.other)])
            case "unlink":
                self._name([((change.file, change.name), None)])
            case "rename":
                moved = self._live[change.file, change.name]
                gone: _Entry = ((change.file, change.name), None)
                self._name([gone, ((change.other, change.new_name), moved)])
            case "write" | "truncate" if file is not None:
                end = change.offset + len(change.data)
                is_write = change.kind == "write"
                if not is_write or end > file.size:
                    self._news.add(change.file)
                file.write(_Write(change.offset, change.data if is_write else None, end > file.size))
            case "mode" if file is not None:
                file.mode = change.offset
            case "sync" | "datasync" if file is not None and not self._is_ignored(change.site):
                self._sync(change.file, file, data_only=change.kind == "datasync")
            case "mark" if change.data == SETTLED:
                self._settle()

    def write_out(self, folder: Path, rest: Rest, chance: random.Random) -> None:
        """Makes the files and folders that a cut at this moment may leave, in an empty folder."""
        names = self._names(rest, chance)
        below: dict[int, list[tuple[str, int]]] = {}
        for (parent, name), number in names.items():
            below.setdefault(parent, []).append((name, number))
        written: dict[int, Path] = {}
        waiting = [(ROOT, folder)]
        while waiting:
            parent, path = waiting.pop()
            for name, number in sorted(below.get(parent, [])):
                file, place = self._files[number], path / name
                if file.is_folder:
                    place.mkdir(mode=file.mode)
                    waiting.append((number, place))
                elif number in written:
                    os.link(written[number], place)
                else:
                    place.write_bytes(self._content(file, rest, chance))
                    place.chmod(file.mode)
                    written[number] = place

    def _name(self, entries: list[_Entry]) -> None:
        self._pending.append(entries)
        _put(self._live, entries)
        self._news.update(key[0] for key, _ in entries)

    def _sync(self, number: int, file: _File, *, data_only: bool) -> None:
        has_news = number in self._news or (not data_only and bool(file.pending))
        file.sync()
        if self._model is Model.JOURNAL:
            if has_news:
                for entries in self._pending:
                    _put(self._durable, entries)
                self._pending.clear()
                self._news.clear()
        elif file.is_folder:
            for entries in self._pending:
                _put(self._durable, [one for one in entries if one[0][0] == number])
                entries[:] = [one for one in entries if one[0][0] != number]
            self._pending = [entries for entries in self._pending if entries]

    def _settle(self) -> None:
        for file in self._files.values():
            file.sync()
        self._durable = dict(self._live)
        self._pending.clear()
        self._news.clear()

    def _names(self, rest: Rest, chance: random.Random) -> dict[tuple[int, str], int]:
        names = dict(self._durable)
        if rest is Rest.NONE:
            return names
        if rest is Rest.ALL:
            return dict(self._live)
        if self._model is Model.JOURNAL:
            for entries in self._pending[: chance.randint(0, len(self._pending))]:
                _put(names, entries)
            return names
        # A change depends only on earlier changes of the same names.
        without: set[tuple[int, str]] = set()
        for entries, is_there in zip(self._pending, _choice(len(self._pending), rest, chance), strict=True):
            keys = {key for key, _ in entries}
            if is_there and not keys & without:
                _put(names, entries)
            else:
                without |= keys
        return names

    def _content(self, file: _File, rest: Rest, chance: random.Random) -> bytes:
        if rest is Rest.NONE or not file.pending:
            return bytes(file.durable)
        if rest is Rest.BUT_ONE and chance.random() < 0.8:
            # The missing change is mostly one of a name, since these are few.
            rest = Rest.ALL
        content = bytearray(file.durable)
        has_grown = True
        for one, is_there in zip(file.pending, _choice(len(file.pending), rest, chance), strict=True):
            if self._model is Model.JOURNAL and one.grows:
                has_grown = has_grown and is_there
                is_there = has_grown  # noqa: PLW2901 - a later part of what a file grew by needs the earlier ones
            if not is_there:
                continue
            if rest in _TORN and one.data is not None and chance.random() < 0.5:
                for part in _torn(one, _TORN[rest], chance):
                    _apply(content, part)
                # In the order of a journal, the file does not grow beyond a missing part.
                has_grown = has_grown and not one.grows
            else:
                _apply(content, one)
        return bytes(content)


def _choice(count: int, rest: Rest, chance: random.Random) -> list[bool]:
    """For each of `count` changes: True if it is there."""
    if rest is Rest.ALL:
        return [True] * count
    if rest is Rest.BUT_ONE:
        missing = chance.randrange(count) if count else 0
        return [number != missing for number in range(count)]
    if rest is Rest.LATE:
        first = chance.randint(0, count)
        return [number >= first for number in range(count)]
    share = chance.choice((0.1, 0.5, 0.9))
    return [chance.random() < share for _ in range(count)]


def _torn(one: _Write, sector: int, chance: random.Random) -> Iterable[_Write]:
    """Some of the sectors of a write."""
    assert one.data is not None
    at, end = one.offset, one.offset + len(one.data)
    while at < end:
        behind = min(end, (at // sector + 1) * sector)
        if chance.random() < 0.5:
            yield _Write(at, one.data[at - one.offset : behind - one.offset], one.grows)
        at = behind


def _apply(content: bytearray, one: _Write) -> None:
    if one.data is None:
        del content[one.offset :]
        content.extend(bytes(one.offset - len(content)))
        return
    if one.offset > len(content):
        content.extend(bytes(one.offset - len(content)))
    content[one.offset : one.offset + len(one.data)] = one.data


def _put(names: dict[tuple[int, str], int], entries: Iterable[_Entry]) -> None:
    for key, number in entries:
        if number is None:
            names.pop(key, None)
        else:
            names[key] = number
