"""One trial of one experiment, in a process of its own: `python -m tests.lab.trial NAME SEED FOLDER FILE`.

Its result goes into FILE as JSON: {"counts": {…}} or {"broken": "…"}. Its output helps to examine a break.
"""

import json
import sys
import traceback
from pathlib import Path

from tests.lab.experiment import Trial
from tests.lab.experiments import by_name


def main() -> None:
    name, seed, folder, file = sys.argv[1:]
    Path(file).write_text(json.dumps(_said(name, int(seed), Path(folder))), encoding="utf-8")


def _said(name: str, seed: int, folder: Path) -> dict[str, object]:
    try:
        return {"counts": dict(by_name()[name].run(Trial(seed=seed, folder=folder)))}
    except AssertionError as error:
        traceback.print_exc()
        return {"broken": str(error) or "an assertion without words; see what was printed"}
    except Exception as error:
        traceback.print_exc()
        return {"broken": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main()
