"""Mutants: the service with one of its syncs missing. Each is noticed, or `NOT_NEEDED` says why it is not."""

import operator
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from tests.lab.cuts.cutting import Scenario, is_noticed, moments_without
from tests.lab.cuts.recording import Change
from tests.lab.experiment import Broken

# How often each scenario tries to notice a mutant whose sync it makes.
TRIES = 4

_BY_ANOTHER = "the file counts only once it is put in its place as a whole, after a sync of all of it"
# Why no promise depends on a sync: by its place, in the form of `key`.
NOT_NEEDED: Mapping[str, str] = {
    "SQLite: the store-journal": (
        "outside of WAL mode, one page is written: the first, of whose first sector two bytes say so"
    ),
    "SQLite: another file": _BY_ANOTHER,
    "SQLite: another file-wal": _BY_ANOTHER,
    "SQLite: another file-journal": _BY_ANOTHER,
    "sync_file": f"it begins to write while the copy is checked: {_BY_ANOTHER}",
    "sync_file, for seal": "SQLite has synced the file when its tables were compared, whatever it wrote then",
    "sync_folder, for move_file": (
        "a backup counts once it has its metadata, whose sync brings along the name of its file"
    ),
    "sync_folder, for _prune": "a part of the audit log that is there again stands before where it begins",
}


# The functions whose syncs are in the recordings.
PLAYED = frozenset(
    (
        "bus/kept_files.py write_new_private",
        "bus/kept_files.py write_private",
        "bus/kept_files.py sync_folder",
        "bus/serving/durable/suspects.py mark",
        "ops/audit/trail.py _write",
        "ops/targets/signing.py make_key",
        "ops/targets/target.py write_file",
        "ops/targets/target.py sync_file",
    )
)
# The functions whose syncs are in none, and why.
NOT_PLAYED: Mapping[str, str] = {
    "bus/broker/synced_streams.py _sync": "streams are cut on real disks, with their nats-server",
    "ops/doctor/machine.py look_at_syncs": "it measures what a sync takes",
    "ops/analytics/lake/files.py finished": "a lake can be made anew of the backups that it was made of",
    "ops/analytics/lake/manifest.py write_manifest": "likewise",
    "ops/analytics/export/table_parts.py keep": "likewise",
}


_FUNCTION = re.compile(r"(\S+\.py):\d+ (\w+)")


def key(site: str) -> str:
    """The place of a sync, without its line: `sync_folder, for write_private`."""
    return _FUNCTION.sub(r"\2", site)


def tried(
    recordings: Sequence[tuple[Scenario, list[Change]]], chance: random.Random, folder: Path
) -> Mapping[str, int]:
    """The number of mutants that were noticed, and of the states in which one was looked for.

    Raises:
        Broken: one was not, and there is no reason for it.
    """
    looked_at = 0
    sites = {site for _, changes in recordings for site in sites_in(changes)}
    known: set[str] = set()
    for number in range(TRIES):
        # Mutants with a reason in `NOT_NEEDED` are tried once: the reason may no longer be true.
        wanted = {site for site in sites - known if number == 0 or key(site) not in NOT_NEEDED}
        for scenario, changes in recordings:
            for site in sorted(wanted.intersection(sites_in(changes)) - known):
                at = moments_without(changes, site, chance)
                looked_at += len(at)
                if is_noticed(scenario, changes, at, folder, partial(operator.eq, site)):
                    known.add(site)
    missed = sites - known
    played = {f"{path} {name}" for site in sites for path, name in _FUNCTION.findall(site)[:1]}
    if played != PLAYED:
        raise Broken(f"other lines sync than those that are listed: {sorted(played ^ PLAYED)}")
    if unexplained := sorted(site for site in missed if key(site) not in NOT_NEEDED):
        raise Broken(f"nobody notices where these do not sync: {unexplained}")
    return {
        "mutants": len(sites),
        "of them noticed": len(known),
        "with a reason": len(missed),
        "crash states": looked_at,
    }


def sites_in(changes: Iterable[Change]) -> list[str]:
    """The sites of all syncs."""
    return sorted({one.site for one in changes if one.site})
