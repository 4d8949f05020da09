"""Writes the parts of the Python client that the catalogue says: `make client`.

In `commands`, a module for each table: its commands as structs, with the bounds that the service has.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from inspect import cleandoc
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from domain import messages
from domain.catalogue import VERBS
from domain.decider import Verb

CLIENT = Path(__file__).parents[1] / "clients/python/hyperpage_client"
RUFF = Path(sys.executable).with_name("ruff")
# What is written once, in `commands/fields.py`, and meant by its name.
NAMED: dict[str, Any] = {name: getattr(messages, name) for name in ("Key", "KeyPart", "Time", "Text", "Name")}
_MADE = "Made by `make client`."
# What is not needed of them is taken out again.
_IMPORTS = (
    "from collections.abc import Sequence",
    "from typing import Annotated, Any, ClassVar, Literal",
    "import msgspec",
)


def modules() -> dict[Path, str]:
    """Every module that is made, by its path in the package, with its source."""
    tables: dict[str, dict[str, Verb]] = {}
    for name, (_, verb) in VERBS.items():
        if not verb.internal:
            tables.setdefault(name.partition(".")[0], {})[name] = verb
    made = {"commands/fields.py": _fields()}
    made |= {f"commands/{table}.py": _commands(table, verbs) for table, verbs in tables.items()}
    return {Path(path): _tidy(path, source) for path, source in made.items()}


def _tidy(path: str, lines: Iterator[str]) -> str:
    """As the linter wants it."""
    source = "\n".join(lines)
    for command in (("check", "--fix-only", "--select", "F401,I"), ("format",)):
        source = subprocess.run(
            [RUFF, *command, "--quiet", "--stdin-filename", CLIENT / path, "-"],
            input=source,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return source


def _fields() -> Iterator[str]:
    yield f'"""The types of fields that many commands have. {_MADE}"""'
    yield from _IMPORTS
    for name, kind in NAMED.items():
        held, *bounds = get_args(kind)
        yield f"{name} = Annotated[{held.__name__}, {', '.join(map(repr, bounds))}]"


def _commands(table: str, verbs: dict[str, Verb]) -> Iterator[str]:
    yield f'"""The commands of `{table}`. {_MADE}"""'
    yield from _IMPORTS
    yield f"from hyperpage_client.commands.fields import {', '.join(NAMED)}"
    yield "from hyperpage_client.contract.commands import Command"
    within: dict[type[msgspec.Struct], None] = {}
    for verb in verbs.values():
        _note_structs(verb.command, within)
    for shape in within:
        yield from _struct(shape, "msgspec.Struct, omit_defaults=True", ())
    for name, verb in verbs.items():
        yield from _struct(verb.command, "Command", (f'command_name: ClassVar[str] = "{name}"', ""))


def _note_structs(kind: Any, noted: dict[type[msgspec.Struct], None]) -> None:
    """Notes the structs that a type is made of, those first that others are made of."""
    for part in get_args(kind):
        _note_structs(part, noted)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for inner in get_type_hints(kind, include_extras=True).values():
            _note_structs(inner, noted)
        if not issubclass(kind, messages.Command):
            noted.setdefault(kind)


def _struct(shape: type[msgspec.Struct], above: str, first: Sequence[str]) -> Iterator[str]:
    yield f"class {shape.__name__}({above}, frozen=True, kw_only=True):"
    yield from (f"    {line}" for line in ('"""' + cleandoc(shape.__doc__ or "")).split("\n"))
    yield from ('    """', "", *(f"    {line}" for line in first))
    hints = get_type_hints(shape, include_extras=True)
    for field in msgspec.structs.fields(shape):
        default = "" if field.required else f" = {_default(field)}"
        yield f"    {field.name}: {type_of(hints[field.name])}{default}"


def _default(field: msgspec.structs.FieldInfo) -> str:
    made = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    return repr(msgspec.json.decode(made) if isinstance(made, msgspec.Raw) else made)


def type_of(kind: Any) -> str:
    """A type as it is written."""
    for name, named in NAMED.items():
        if kind == named:
            return name
    parts = get_args(kind)
    match get_origin(kind):
        case None:
            return {NoneType: "None", msgspec.Raw: "Any", Any: "Any"}.get(kind) or kind.__name__
        case origin if origin is Annotated:
            return f"Annotated[{type_of(parts[0])}, {', '.join(map(repr, parts[1:]))}]"
        case origin if origin is Literal:
            return f"Literal[{', '.join(map(repr, parts))}]"
        case origin if origin in (Union, UnionType):
            return " | ".join(map(type_of, parts))
        case origin if origin is tuple:
            return f"Sequence[{type_of(parts[0])}]"
        case origin:
            return f"{origin.__name__}[{', '.join(map(type_of, parts))}]"


def main() -> None:
    for path, source in modules().items():
        target = CLIENT / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(source)


if __name__ == "__main__":
    main()
