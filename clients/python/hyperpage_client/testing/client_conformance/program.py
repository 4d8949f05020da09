"""The command line: `python -m hyperpage_client.testing.client_conformance -- ADAPTER …`."""

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hyperpage_client.testing.client_conformance.adapter import AdapterError
from hyperpage_client.testing.client_conformance.case import Case
from hyperpage_client.testing.client_conformance.cases import CASES
from hyperpage_client.testing.client_conformance.running import Outcome, trial
from hyperpage_client.testing.service import NoServiceError

# Most cases spend most of their time waiting.
AT_ONCE = 8
MAXIMUM_SHOWN_CHARACTERS = 600
SOME_FAILED, UNUSABLE = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 nothing failed, 1 something did, 2 nothing could be tried."""
    asked = _parser().parse_args(arguments)
    cases = [case for case in CASES if _is_asked_for(case, asked.only)]
    if asked.list:
        sys.stdout.write(listed(cases))
        return 0
    if not cases or not asked.adapter:
        sys.stderr.write("no case has that in its name\n" if not cases else "name the adapter, behind --\n")
        return UNUSABLE
    try:
        return asyncio.run(_run(asked.adapter, cases, as_json=asked.json, at_once=asked.at_once))
    except (AdapterError, NoServiceError) as error:
        sys.stderr.write(f"{error}\n")
        return UNUSABLE
    except KeyboardInterrupt:
        return UNUSABLE


def listed(cases: Sequence[Case]) -> str:
    """A checklist in Markdown: what each case asks for, its name, and what it needs."""
    lines: list[str] = []
    group = ""
    for case in cases:
        if case.group != group:
            group = case.group
            lines.append(f"\n### {group}\n\n" if lines else f"### {group}\n\n")
        needs = "".join(f" `{part}`" for part in case.needs)
        lines.append(f"- [ ] {case.must} *{case.name}*{needs}\n")
    return "".join(lines)


async def _run(adapter: Sequence[str], cases: Sequence[Case], *, as_json: bool, at_once: int) -> int:
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="hyperpage-conformance-") as folder:
        async with trial(adapter, Path(folder), at_once=at_once) as tried:
            async for outcome in tried.outcomes(cases):
                outcomes.append(outcome)
                if not as_json:
                    sys.stdout.write(_line(outcome))
                    sys.stdout.flush()
    counts: Counter[str] = Counter(one.status for one in outcomes)
    if as_json:
        said = {"client": tried.client, **_counted(counts), "cases": [_as_json(one) for one in outcomes]}
        sys.stdout.write(json.dumps(said, ensure_ascii=False, indent=2, default=str) + "\n")
    else:
        counted = ", ".join(f"{number} {status}" for status, number in _counted(counts).items())
        sys.stdout.write(f"{tried.client}: {counted}\n")
    return SOME_FAILED if counts["failed"] else 0


def _counted(counts: Counter[str]) -> dict[str, int]:
    return {status: counts[status] for status in ("passed", "failed", "missing")}


def _line(outcome: Outcome) -> str:
    line = f"{outcome.status:8}{outcome.case.name}"
    if outcome.status == "missing":
        return f"{line} (needs {', '.join(outcome.lacks)})\n"
    if outcome.status == "passed":
        return f"{line}\n"
    told = {"must": outcome.case.must, "about": outcome.what}
    told |= {"expected": _shown(outcome.expected), "came": _shown(outcome.came)}
    return f"{line}\n" + "".join(f"        {name + ':':10}{text}\n" for name, text in told.items())


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAXIMUM_SHOWN_CHARACTERS else f"{text[:MAXIMUM_SHOWN_CHARACTERS]} …"


def _as_json(outcome: Outcome) -> dict[str, Any]:
    case = outcome.case
    said: dict[str, Any] = {"name": case.name, "group": case.group, "must": case.must, "needs": case.needs}
    said |= {"status": outcome.status, "seconds": outcome.seconds}
    if outcome.status == "failed":
        said |= {"about": outcome.what, "expected": outcome.expected, "came": outcome.came}
    if outcome.status == "missing":
        said |= {"lacks": outcome.lacks}
    return said


def _is_asked_for(case: Case, names: Sequence[str] | None) -> bool:
    return not names or any(name.casefold() in case.name.casefold() for name in names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hyperpage_client.testing.client_conformance",
        description="Whether a client, in whichever language, does what clients must: its adapter is told"
        " what to do by lines of JSON. docs/your-language.md has the protocol. The service is the program"
        " `hyperpage` on the path, or the one that HYPERPAGE names.",
    )
    parser.add_argument("adapter", nargs="*", help="the adapter and its arguments, behind --")
    parser.add_argument("--list", action="store_true", help="print the cases, and what each asks for")
    parser.add_argument("--only", action="append", metavar="NAME", help="the cases with this in their names")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--at-once", type=int, default=AT_ONCE, choices=range(1, 65), metavar="N", help="cases at once (8)"
    )
    return parser
