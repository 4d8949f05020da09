"""Makes the modules of the Python client that follow from the catalogue: `make client`."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from ops.contract.client_types.python import modules as made

CLIENT = Path(__file__).parents[1] / "clients/python/hyperpage_client"
RUFF = Path(sys.executable).with_name("ruff")


def modules() -> dict[Path, str]:
    """The source of every module that is made, by its path in the package."""
    return {Path(path): _tidy(path, lines) for path, lines in made.modules().items()}


def _tidy(path: str, lines: Iterable[str]) -> str:
    """The source, without unused imports and formatted as the linter requires."""
    source = "\n".join(lines)
    for how in (("check", "--fix-only", "--select", "F401,I"), ("format",)):
        source = subprocess.run(
            [RUFF, *how, "--quiet", "--stdin-filename", CLIENT / path, "-"],
            input=source,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return source


def main() -> None:
    for path, source in modules().items():
        target = CLIENT / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(source, encoding="utf-8")


if __name__ == "__main__":
    main()
