"""The power is cut at moments of a recording: `cut` makes each state of the disk, and checks it."""

import random
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from tests.lab.cuts.crash_states import Disk, Model, Rest
from tests.lab.cuts.recording import SETTLED, Change
from tests.lab.experiment import Broken

Heard = Sequence[dict[str, Any]]


class Notes:
    """Notes in a recording: a call notes an answer at the moment when a client or an operator gets it."""

    def __init__(self, mark: Callable[[bytes], None]) -> None:
        self._mark = mark

    def __call__(self, **told: Any) -> None:
        self._mark(msgspec.json.encode(told))

    def settled(self) -> None:
        """Notes that all earlier changes are on disk, as if the machine had run on for a while."""
        self._mark(SETTLED)


class Scenario(Protocol):
    """Work on a disk, and the checks after a power cut.

    `play` does the work below a folder, which is recorded, and notes each answer when it is given. `require`
    checks the same folder as a cut may have left it, with the notes from before the cut; it may change the
    files. It returns the number of things that it checked, and raises `Broken`.
    """

    def play(self, root: Path, notes: Notes) -> None: ...
    def require(self, root: Path, heard: Heard) -> int: ...


class Moment(NamedTuple):
    """A cut behind `after` changes, on a file system like `model`, with `rest` of the unsynced changes."""

    after: int
    model: Model
    rest: Rest
    seed: int

    def __str__(self) -> str:
        return f"behind change {self.after} ({self.model.value}; {self.rest.value} of what was not synced)"


def moments(changes: Sequence[Change], chance: random.Random, count: int) -> list[Moment]:
    """So many moments, in their order: half of them right behind an answer."""
    first = _beginning(changes)
    told = [number + 1 for number, one in enumerate(changes) if one.kind == "mark" and number >= first]
    synced = [number for number, one in enumerate(changes) if "sync" in one.kind and number >= first]
    anywhere = range(first, len(changes) + 1)
    places = [anywhere, anywhere, synced or anywhere, *[told or anywhere] * 3]
    return sorted(
        (
            Moment(
                chance.choice(chance.choice(places)),
                chance.choice(list(Model)),
                chance.choice(list(Rest)),
                chance.randrange(2**32),
            )
            for _ in range(count)
        ),
        key=lambda one: (one.after, one.model.value),
    )


def _beginning(changes: Sequence[Change]) -> int:
    """The number of the first change behind the last moment at which all was on disk."""
    settled = [number for number, one in enumerate(changes) if one.kind == "mark" and one.data == SETTLED]
    return settled[-1] + 1 if settled else 0


def moments_without(
    changes: Sequence[Change], site: str, chance: random.Random, occurrences: int = 3
) -> list[Moment]:
    """Moments behind some syncs of one site, at which a check notices if these syncs did nothing.

    They end with the next sync of the same file or folder by another site, which stands in for the missing
    one; answers from before that were promised without it.
    """
    first = _beginning(changes)
    there = [number for number, one in enumerate(changes) if one.site == site and number >= first]
    chosen = []
    for begin in chance.sample(there, min(occurrences, len(there))):
        behind = range(begin + 1, len(changes))
        end = next((n for n in behind if _stands_in(changes[n], changes[begin])), len(changes))
        told = [n + 1 for n in range(begin, end) if changes[n].kind == "mark"]
        nearest = [*range(begin + 1, min(begin + 5, end + 1)), *told[:3], end]
        places = {*nearest, *(chance.randint(begin + 1, max(begin + 1, end)) for _ in range(4))}
        chosen += [
            Moment(min(place, len(changes)), model, rest, chance.randrange(2**32))
            for place in places
            for model, rest in _TELLING
        ]
    return sorted(chosen, key=lambda one: (one.after, one.model.value))


# The rests that are most likely to show that a sync is missing: the smallest, and the oddest.
_TELLING = [
    (Model.STRICT, Rest.NONE),
    (Model.JOURNAL, Rest.NONE),
    *[(Model.STRICT, Rest.BUT_ONE)] * 6,
    *[(Model.STRICT, Rest.LATE)] * 2,
    (Model.STRICT, Rest.SOME),
    (Model.STRICT, Rest.PAGES),
    (Model.JOURNAL, Rest.SOME),
]


def _stands_in(one: Change, missing: Change) -> bool:
    return "sync" in one.kind and one.file == missing.file and one.site != missing.site


def cut(
    scenario: Scenario,
    changes: Sequence[Change],
    at: Iterable[Moment],
    folder: Path,
    ignored: Callable[[str], bool] = lambda site: False,
) -> Iterator[tuple[Moment, int | Broken]]:
    """The finding at each moment, in order: the number of things checked, or the broken promise.

    `ignored` are the sites whose syncs do nothing.
    """
    disks = {model: Disk(model, ignored) for model in Model}
    heard: list[dict[str, Any]] = []
    done = 0
    for moment in at:
        for change in changes[done : moment.after]:
            for disk in disks.values():
                disk.follow(change)
            if change.kind == "mark" and change.data != SETTLED:
                heard.append(msgspec.json.decode(change.data))
        done = moment.after
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        disks[moment.model].write_out(folder, moment.rest, random.Random(moment.seed))
        try:
            found: int | Broken = scenario.require(folder, heard)
        except Broken as error:
            found = error
        except Exception as error:  # any error of the product
            found = Broken(f"{type(error).__name__}: {error}")
            found.__cause__ = error
        yield moment, found
    shutil.rmtree(folder, ignore_errors=True)


def require_all(
    scenario: Scenario, changes: Sequence[Change], at: Collection[Moment], folder: Path
) -> Mapping[str, int]:
    """The counts of all trials, if every promise held.

    Raises:
        Broken: something does not hold.
    """
    looked_at = 0
    for moment, found in cut(scenario, changes, at, folder):
        if isinstance(found, Broken):
            raise Broken(f"after a cut {moment}: {found}") from found
        looked_at += found
    return {"crash states": len(at), "answers": looked_at}


def noticed(
    scenario: Scenario,
    changes: Sequence[Change],
    at: Collection[Moment],
    folder: Path,
    ignored: Callable[[str], bool],
) -> Counter[str]:
    """The numbers of broken and of sound moments when syncs do nothing."""
    return Counter(
        "noticed" if isinstance(found, Broken) else "not noticed"
        for _, found in cut(scenario, changes, at, folder, ignored)
    )


def is_noticed(
    scenario: Scenario,
    changes: Sequence[Change],
    at: Iterable[Moment],
    folder: Path,
    ignored: Callable[[str], bool],
) -> bool:
    """True if one of the moments is broken when syncs do nothing; it is the last one that is checked."""
    return any(isinstance(found, Broken) for _, found in cut(scenario, changes, at, folder, ignored))
