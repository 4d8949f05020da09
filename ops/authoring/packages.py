"""Writing the package of an aggregate into an empty folder: it works as it is, and has tests."""

from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Literal

from ops.authoring.error import AuthoringError
from ops.authoring.names import Names

# A `Decider`, or a class of the library `eventsourcing`.
Style = Literal["decider", "library"]
_NEEDS = {"decider": "msgspec>=0.22,<0.23", "library": "eventsourcing>=9.5,<10"}


def write_package(names: Names, folder: Path, style: Style) -> list[Path]:
    """Writes the package, and returns the paths of its files in the folder, which is made if it is missing.

    Raises:
        AuthoringError: the folder is not empty, and nothing was written.
        OSError: a file cannot be written.
    """
    if folder.is_dir() and next(folder.iterdir(), None) is not None:
        raise AuthoringError(f"there is something in {folder} already", "name another folder: --out")
    written = []
    for path, text in _contents(names, style).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        # A file that another program has made meanwhile is not overwritten.
        with file.open("x", encoding="utf-8") as output:
            output.write(text)
        written.append(Path(path))
    return written


def _contents(names: Names, style: Style) -> dict[str, str]:
    """The text of each file, by its path."""
    module = f"{names.package}.{names.name}"
    is_decider = style == "decider"
    values = {
        "name": names.name,
        "table": names.table,
        "package": names.package,
        "distribution": names.distribution,
        "Class": names.class_name,
        "a_name": names.a_name,
        "A_name": names.a_name.capitalize(),
        "dependency": _NEEDS[style],
        "place": module if is_decider else f"{module}:{names.class_name}",
        "tried": module if is_decider else f"{names.table}={module}:{names.class_name}",
    }

    def text(template: str) -> str:
        source = files("ops.authoring") / "templates" / f"{template}.template"
        return Template(source.read_text(encoding="utf-8")).substitute(values)

    return {
        "pyproject.toml": text("both/pyproject.toml"),
        "README.md": text("both/README.md"),
        ".gitignore": text("both/gitignore"),
        f"{names.package}/__init__.py": "",
        f"{names.package}/py.typed": "",
        f"{names.package}/{names.name}.py": text(f"{style}/module.py"),
        f"tests/test_{names.name}.py": text(f"{style}/test_module.py"),
        "tests/test_laws.py": text("both/test_laws.py"),
    }
