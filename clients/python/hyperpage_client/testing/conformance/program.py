"""The laws from the command line: `python -m hyperpage_client.testing.conformance baskets`."""

import argparse
import json
import sys
from collections.abc import Sequence

from hyperpage_client.testing.conformance.broken import LawBroken
from hyperpage_client.testing.conformance.checking import check_laws
from hyperpage_client.testing.conformance.published import NotPublishedError
from hyperpage_client.testing.conformance.values import NoValueError
from hyperpage_client.testing.service import NoServiceError

_DONE, _BROKEN, _NOT_TRIED = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 the laws hold, 1 one is broken, 2 it could not be tried."""
    parser = argparse.ArgumentParser(
        prog="python -m hyperpage_client.testing.conformance",
        description="Whether an aggregate keeps the laws, over generated commands and a real service.",
    )
    parser.add_argument("table", help="the table of the aggregate: baskets")
    parser.add_argument("--aggregates", default="", help="as of `hyperpage serve`: baskets.basket")
    parser.add_argument("--seed", type=int, help="the history; by chance where it is not given")
    parser.add_argument("--commands", type=int, help="how many; 40 of each verb by default")
    parser.add_argument(
        "--values", type=json.loads, default={}, help="""values for fields: '{"article": ["apple"]}'"""
    )
    parser.add_argument(
        "--never-accepted", action="append", default=[], metavar="VERB", help="it need not be; again for more"
    )
    asked = parser.parse_args(arguments)
    try:
        check_laws(
            asked.table,
            aggregates=asked.aggregates,
            seed=asked.seed,
            commands=asked.commands,
            values=asked.values,
            never_accepted=asked.never_accepted,
            say=lambda text: sys.stdout.write(f"{text}\n"),
        )
    except LawBroken as broken:
        sys.stderr.write(f"broken: {broken}\n")
        return _BROKEN
    except (NoServiceError, NotPublishedError, NoValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return _NOT_TRIED
    return _DONE
