"""Repeats one run: `python -m tests.lab.simulation SEED [FILE]`; its whole trace goes into FILE."""

import sys
import tempfile
from pathlib import Path

from tests.lab.simulation.run import Runs


def main() -> None:
    seed, *file = sys.argv[1:]
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            print(Runs(Path(folder)).run(int(seed), lines=lines))
        finally:
            for one in file:
                Path(one).write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
