"""docs/reliability.md and its badge, made only from the results and from files that people edit."""

import textwrap
from collections import Counter
from collections.abc import Iterator
from html import escape

from ops.lab.results import Results, Sum, sums
from tests.lab.found import FOUND, JUDGED, NOT_COVERED
from tests.support.repository import ROOT

PAGE, BADGE = ROOT / "docs" / "reliability.md", ROOT / "docs" / "pictures" / "reliability.svg"
# The counts that every experiment has come first in the sums; then the largest.
_FIRST = ("answers",)


def write(results: Results) -> None:
    """Writes both files."""
    PAGE.write_text(page(results), encoding="utf-8")
    BADGE.write_text(badge(results), encoding="utf-8")


def page(results: Results) -> str:
    """All of docs/reliability.md."""
    return "\n".join(_lines(results)) + "\n"


def _lines(results: Results) -> Iterator[str]:
    every = sums(results)
    yield "# Reliability"
    yield ""
    yield _wrapped(
        "What is promised, what was done against it, what that found, and what nobody looked for. The lab "
        "(`make lab`) writes this page from what its runs have kept; nobody edits it. Each trial has a seed, "
        "and all of its chance comes from that. Processes, disks and brokers are real where it does not say "
        "otherwise, so that a seed repeats what was done, and not always the moment at which it hit."
    )
    yield ""
    yield "## What was tried"
    yield ""
    if not results.runs:
        yield "No run was kept yet."
        yield ""
    else:
        yield f"In {_many(len(results.runs), 'run')}, {_total(every)}."
        yield ""
        yield "| what is promised | what is done against it | what was tried | broken |"
        yield "|---|---|---|---|"
        for one in every:
            cells = (f"{_cell(one.last.promise)} (`{one.name}`)", _cell(one.last.means), _tried(one))
            yield f"| {' | '.join(cells)} | {one.breaks or 'none'} |"
        yield ""
        yield from _runs(results)
        yield from _breaks(results)
    yield from _found()
    yield ""
    yield "## What is not covered"
    yield ""
    yield from (_wrapped(f"- {sentence}", "  ") for sentence in NOT_COVERED)


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _total(every: list[Sum]) -> str:
    trials, breaks = sum(one.trials for one in every), sum(one.breaks for one in every)
    tried = sum(one.trials > 0 for one in every)
    said = f"{_many(trials, 'trial')} of {_many(tried, 'experiment')}"
    return f"{said}; {_broken(breaks)}"


def _broken(breaks: int) -> str:
    return "nothing broke" if not breaks else f"{breaks:,} of them broke, which is told below"


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _tried(one: Sum) -> str:
    if not one.trials:
        return f"nothing: {_cell(one.last.lacking or 'there was no time')}"
    counts = ", ".join(f"{count:,} {_cell(what)}" for what, count in ordered(one.counts))
    return f"{_many(one.trials, 'trial')}: {counts}"


def ordered(counts: Counter[str]) -> list[tuple[str, int]]:
    """Counts in the order of the page: answers first, then the largest."""
    return sorted(counts.items(), key=lambda pair: (pair[0] not in _FIRST, -pair[1], pair[0]))


def _runs(results: Results) -> Iterator[str]:
    yield "## The runs"
    yield ""
    yield _wrapped(
        "Any line of any run is repeated in a clone, at its commit: `git checkout COMMIT`, then "
        "`make lab ARGS='--only NAME --seed SEED --trials TRIALS'`. Seeds are a run's first one and those "
        "that follow it."
    )
    yield ""
    yield "| begun | commit | machine | first seed | trials, and how long they took |"
    yield "|---|---|---|---|---|"
    for run in results.runs:
        seeds = {one.first_seed for one in run.experiments.values()}
        trials = ", ".join(
            f"`{name}` {one.trials:,} ({one.seconds / 60:.0f} min)"
            for name, one in run.experiments.items()
            if one.trials
        )
        yield (
            f"| {run.began_at} | `{run.commit}` ({run.version}) | {_cell(run.machine)} | "
            f"{', '.join(map(str, sorted(seeds)))} | {trials} |"
        )
    yield ""


def _breaks(results: Results) -> Iterator[str]:
    broken = [
        f"- `{name}` at `{run.commit}`, seed {one.seed}: {_cell(one.what)} "
        f"(`make lab ARGS='--only {name} --seed {one.seed} --trials 1'`): "
        f"{JUDGED.get((name, one.seed), '**open**')}"
        for run in results.runs
        for name, tried in run.experiments.items()
        for one in tried.breaks
    ]
    if broken:
        yield "## What broke in these runs"
        yield ""
        yield from broken
        yield ""


def _found() -> Iterator[str]:
    yield "## What faults have found, and since when it is mended"
    yield ""
    yield "Each has a test that failed before, and runs with `make test` since."
    yield ""
    yield "| what was done | what happened | mended | the test |"
    yield "|---|---|---|---|"
    for one in FOUND:
        path, _, name = one.test.partition("::")
        yield f"| {one.done} | {one.what} | {one.mended} | [`{name}`](../{path}) |"


def _cell(text: str) -> str:
    """The text, as a cell of a table."""
    return " ".join(text.split()).replace("|", "/")


def still_open(results: Results) -> list[tuple[str, int]]:
    """The breaks whose cause is not known yet, by experiment and seed."""
    return [
        (name, one.seed)
        for run in results.runs
        for name, tried in run.experiments.items()
        for one in tried.breaks
        if (name, one.seed) not in JUDGED
    ]


def badge(results: Results) -> str:
    """A picture of one line: the numbers of trials, of answers, and of open breaks."""
    every = sums(results)
    trials, breaks = sum(one.trials for one in every), len(still_open(results))
    answers = sum(one.counts["answers"] for one in every)
    label, said = "lab", f"{trials:,} trials, {answers:,} answers compared, {breaks:,} open breaks"
    # By an average width of a character: fonts differ, and `textLength` fits them to it.
    left, right = 12 + 7 * len(label), 12 + 7 * len(said)
    colour = "#2a7f62" if not breaks else "#c2703d"
    text = 'y="14" fill="white" text-anchor="middle" lengthAdjust="spacingAndGlyphs"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{escape(f"{label}: {said}")}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{left}" height="20" fill="#444"/>\n'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/>\n'
        f'<text x="{left / 2:g}" {text} textLength="{left - 12}">{label}</text>\n'
        f'<text x="{left + right / 2:g}" {text} textLength="{right - 12}">{escape(said)}</text>\n'
        "</svg>\n"
    )
