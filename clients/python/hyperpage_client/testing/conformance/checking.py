"""Checks the laws over a seed's history; of a history that breaks one, finds the shortest beginning."""

import asyncio
import os
import random
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from hyperpage_client.client import Client
from hyperpage_client.contract.commands import CommandAnswer
from hyperpage_client.documents import encode
from hyperpage_client.opening import connect
from hyperpage_client.testing.conformance.broken import Law, LawBroken
from hyperpage_client.testing.conformance.histories import Wish, history
from hyperpage_client.testing.conformance.laws import check_log, check_rebuild, check_restart, check_rows
from hyperpage_client.testing.conformance.life import Life
from hyperpage_client.testing.conformance.published import commands_of
from hyperpage_client.testing.service import OwnService

# The usual length of a history: so many commands for each verb, and no fewer than so many in all.
_OF_EACH, _AT_LEAST = 40, 120
_OPTIONS = ("--nats-port", "0", "--no-http")
# How many commands are shown of a history that breaks a law.
_SHOWN = 12


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a history: for each command, how often it was accepted, or refused by a code or rule."""

    table: str
    seed: int
    tallies: dict[str, dict[str, int]]

    def __str__(self) -> str:
        lines = [f"{self.table}, seed {self.seed}: the laws hold"]
        for name, counts in self.tallies.items():
            told = ", ".join(f"{count} {what}" for what, count in counts.items())
            lines.append(f"  {name}: {told or 'never tried'}")
        return "\n".join(lines)


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """An aggregate under test, with all that its histories have in common."""

    table: str
    aggregates: str = ""
    values: Mapping[str, Sequence[Any]] = {}
    never_accepted: frozenset[str] = frozenset()

    def run(self, seed: int, count: int | None, folder: Path) -> Report:
        """Runs the first `count` commands of a seed's history against a service in an empty folder.

        Without a count, there are enough for the number of verbs.

        Raises:
            LawBroken: a law does not hold.
            NoServiceError: there is no service to start.
            NoValueError: a command needs something for which no value is known.
        """
        with OwnService(folder, _OPTIONS, variables=self._variables()) as service:
            return asyncio.run(self._tried(service, seed, count))

    async def _tried(self, service: OwnService, seed: int, count: int | None) -> Report:
        await asyncio.to_thread(service.start)
        async with connect(service.url) as client:
            commands, key_fields = await commands_of(client, self.table)
            if count is None:
                count = max(_AT_LEAST, _OF_EACH * len(commands))
            wishes = history(seed, commands, self.values, count)
            life = Life(self.table, commands, key_fields)
            try:
                await _live(client, life, wishes[: count // 2])
                await asyncio.to_thread(service.stop)
                await asyncio.to_thread(service.start)
                await _go_on(service, life, wishes[count // 2 :])
            except LawBroken as broken:
                broken.lived = [str(wish) for wish in life.sent]
                broken.count = count
                broken.is_at_the_end = life.is_over
                raise
        tallies = {name: dict(sorted(counts.items())) for name, counts in life.tallies.items()}
        return Report(table=self.table, seed=seed, tallies=tallies)

    def require_tried(self, report: Report) -> None:
        """Returns if every verb was accepted, except those that need not be.

        Raises:
            LawBroken: a verb was never accepted.
        """
        never = [name for name, counts in report.tallies.items() if not counts.get("accepted")]
        never = [one for one in never if one.partition(".")[2] not in self.never_accepted]
        if never:
            raise LawBroken(
                "tried",
                f"{', '.join(never)}: never accepted. Let there be more commands, tell values that fit,"
                f" or name it in never_accepted\n  {report}",
            )

    def _variables(self) -> dict[str, str]:
        if not self.aggregates:
            return {}
        # The service finds the packages in the folders where this process finds them.
        tops = {one.partition("=")[2] or one for one in self.aggregates.split(",")}
        places = {_folder_of(one.partition(":")[0].partition(".")[0]) for one in tops}
        path = os.pathsep.join(filter(None, [*sorted(places), os.environ.get("PYTHONPATH", "")]))
        return {"HYPERPAGE_AGGREGATES": self.aggregates, "PYTHONPATH": path}


def check_laws(
    table: str,
    *,
    aggregates: str = "",
    seed: int | None = None,
    commands: int | None = None,
    values: Mapping[str, Sequence[Any]] | None = None,
    never_accepted: Sequence[str] = (),
    say: Callable[[str], object] = print,
) -> Report:
    """How often each verb was accepted and refused, if the laws hold over a seed's history.

    A service is started for it, and restarted in the middle. `aggregates` is what `hyperpage serve
    --aggregates` takes, for a package that is not installed. `values` are values for fields by their names,
    used in place of those that their schemas allow; `never_accepted` are verbs that need not be accepted.

    Raises:
        LawBroken: a law does not hold; the text has the shortest beginning of the history that breaks it.
        NoServiceError: there is no service to start.
        NotPublishedError: the service has no such table.
        NoValueError: a command needs something for which no value is known.
    """
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    trial = Trial(
        table=table, aggregates=aggregates, values=values or {}, never_accepted=frozenset(never_accepted)
    )
    with tempfile.TemporaryDirectory(prefix="hyperpage-conformance-") as folder:

        def tried(count: int | None) -> Report:
            place = Path(folder, str(len(list(Path(folder).iterdir()))))
            place.mkdir()
            return trial.run(seed, count, place)

        try:
            report = tried(commands)
        except LawBroken as broken:
            briefest = shortest(tried, broken)
            raise LawBroken(briefest.law, _explained(trial, briefest, seed)) from None
    say(str(report))
    trial.require_tried(report)
    return report


def shortest(tried: Callable[[int], Report], broken: LawBroken) -> LawBroken:
    """The error of the shortest beginning that breaks the same law, as far as halving finds it.

    `tried` runs a beginning of that length.
    """
    # If an answer broke the law, the commands up to that answer are the shortest beginning, unless the law
    # breaks only after the restart, which comes elsewhere in a shorter history.
    if not broken.is_at_the_end and (found := _broken_by(tried, len(broken.lived), broken.law)) is not None:
        return found
    holds, breaks = 0, broken.count
    while breaks - holds > 1:
        middle = (holds + breaks) // 2
        if (found := _broken_by(tried, middle, broken.law)) is None:
            holds = middle
        else:
            breaks, broken = middle, found
    return broken


def _broken_by(tried: Callable[[int], Report], count: int, law: Law) -> LawBroken | None:
    """The error of the first `count` commands, if they break that law."""
    try:
        tried(count)
    except LawBroken as broken:
        return broken if broken.law == law else None
    return None


def _explained(trial: Trial, broken: LawBroken, seed: int) -> str:
    again = [f"--seed {seed} --commands {broken.count}"]
    if trial.aggregates:
        again.append(f"--aggregates {trial.aggregates}")
    if trial.values:
        again.append(f"--values {shlex.quote(encode(trial.values).decode())}")
    last = "".join(f"\n    {one}" for one in broken.lived[-_SHOWN:])
    return (
        f"{broken.seen}\n  the first {broken.count} commands of seed {seed} break it, at last{last}"
        f"\n  to have it again:\n    python -m {__package__} {trial.table} {' '.join(again)}"
    )


async def _go_on(service: OwnService, life: Life, wishes: Sequence[Wish]) -> None:
    """Runs what follows the restart, at another address, and then the checks at the end."""
    async with connect(service.url) as client:
        await check_restart(client, life)
        await _live(client, life, wishes)
        life.is_over = True
        for one in life.accepted:
            if life.is_remembered(one.wish, msgspec.json.decode(one.answer, type=CommandAnswer)):
                await life.repeat(client, one)
        await check_rebuild(service)
        await check_rows(client, life)
        await check_log(client, life)


async def _live(client: Client, life: Life, wishes: Sequence[Wish]) -> None:
    for wish in wishes:
        await life.live(client, wish)


def _folder_of(package: str) -> str:
    """The folder from which a package or a module is imported; empty where it is not found here."""
    sys.path_importer_cache.pop(str(Path.cwd()), None)
    found = find_spec(package)
    if found is None or found.origin is None:
        return ""
    file = Path(found.origin)
    return str(file.parent.parent if found.submodule_search_locations else file.parent)
