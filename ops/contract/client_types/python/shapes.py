"""The sources of the client's structs."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from inspect import cleandoc
from typing import Any, Literal, get_args, get_type_hints

import msgspec

from bus.contract.log_answers import CloudEvent
from domain.messages import Command
from ops.contract.client_types.python.types import literal, of_answer, of_command, quoted, words_in

Struct = type[msgspec.Struct]
# The names of closed sets of texts, by their texts.
Words = Mapping[tuple[str, ...], str]


def structs_in(kind: Any, noted: dict[Struct, None] | None = None) -> dict[Struct, None]:
    """The structs that a type is made of, except commands; inner structs come before outer ones."""
    noted = {} if noted is None else noted
    for part in get_args(kind):
        structs_in(part, noted)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind is not CloudEvent:
        for inner in get_type_hints(kind, include_extras=True).values():
            structs_in(inner, noted)
        if (base := kind.__base__) not in (None, Command, msgspec.Struct):
            structs_in(base, noted)
        if not issubclass(kind, Command):
            noted.setdefault(kind)
    return noted


def command(shape: Struct, name: str) -> Iterator[str]:
    """The source of a command that is sent as `name`."""
    said = f'command_name: ClassVar[str] = "{name}"'
    return _struct(shape, "Command, frozen=True, kw_only=True", of_command, (said, ""))


def part_of_command(shape: Struct) -> Iterator[str]:
    """The source of a struct inside a command."""
    return _struct(shape, "msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True", of_command)


def named(kind: Any, write: Callable[[Any], str], words: Words) -> str:
    """A type as it is written, in which a closed set is replaced by its name."""
    found = words_in(kind) or ()
    written = write(kind)
    return written.replace(of_answer(Literal[found]), words[found]) if found in words else written


def answer(shape: Struct, words: Words, *, more: str = "") -> Iterator[str]:
    """The source of a row, a result, an answer, or a struct inside one; `more` are further class options."""

    def write(kind: Any) -> str:
        return named(kind, of_answer, words)

    base = shape.__base__
    above = "msgspec.Struct" if base in (None, msgspec.Struct) else base.__name__
    return _struct(shape, f"{above}, frozen=True, kw_only=True{more}", write, may_be_missing=True)


def closed_sets(shapes: Iterable[Struct], taken: Container[str] = ()) -> dict[tuple[str, ...], str]:
    """The closed sets of texts in these structs, each with a free name such as `JobState`."""
    named: dict[tuple[str, ...], str] = {}
    for shape in shapes:
        for name, kind in get_type_hints(shape, include_extras=True).items():
            if (words := words_in(kind)) is not None and len(words) > 1:
                field = "".join(map(str.capitalize, name.split("_")))
                of_what = shape.__name__.removesuffix("Row").removesuffix("Result")
                wanted = (f"{of_what}{field}", f"{shape.__name__}{field}", f"{shape.__name__}{field}Words")
                free = (one for one in wanted if one not in taken and one not in named.values())
                named.setdefault(words, next(free, wanted[-1]))
    return named


def closed(words: Words) -> Iterator[str]:
    """The source of the closed sets, for type checkers alone, since a newer service may have more texts."""
    if words:
        yield "if TYPE_CHECKING:"
        yield from (f"    {name} = {literal(one)}" for one, name in words.items())
        yield "else:"
        yield "    # A newer service may have more."
        yield f"    {' = '.join(words.values())} = str"


def _struct(
    shape: Struct,
    above: str,
    write: Callable[[Any], str],
    first: Sequence[str] = (),
    *,
    may_be_missing: bool = False,
) -> Iterator[str]:
    config = shape.__struct_config__
    tag = "" if config.tag is None else f", tag={quoted(config.tag)}, tag_field={quoted(config.tag_field)}"
    yield f"class {shape.__name__}({above}{tag}):"
    yield from docstring(shape.__doc__ or "", "    ")
    yield from ("", *(f"    {line}" for line in first))
    hints = get_type_hints(shape, include_extras=True)
    base = shape.__base__
    inherited = (
        getattr(base, "__struct_fields__", ()) if base is not None and above.startswith(base.__name__) else ()
    )
    for field in msgspec.structs.fields(shape):
        if field.name not in inherited:
            kind = write(hints[field.name])
            # An older service may not have the field yet: then it is `None`, if its type allows that.
            is_left_out = may_be_missing and field.required and kind.endswith(" | None")
            default = " = None" if is_left_out else default_of(field)
            yield f"    {field.name}: {kind}{_as_it_is_sent(field, default)}"
    if not (first or shape.__struct_fields__ or shape.__doc__):
        yield "    pass"


def _as_it_is_sent(field: msgspec.structs.FieldInfo, default: str) -> str:
    """The default of a field, and its name in JSON if that is different."""
    if field.encode_name == field.name:
        return default
    given = f"default{default.replace(' ', '')}, " if default else ""
    return f" = msgspec.field({given}name={quoted(field.encode_name)})"


def docstring(text: str, indent: str) -> Iterator[str]:
    """The lines of a docstring; none for an empty text."""
    lines = cleandoc(text).replace("\\", "\\\\").replace('"""', '\\"\\"\\"').split("\n")
    if len(lines) == 1 and not lines[0].endswith('"'):
        lines[0] += '"""'
    else:
        lines.append('"""')
    if text.strip():
        yield from (f"{indent}{line}".rstrip() for line in ('"""' + lines[0], *lines[1:]))


def default_of(field: msgspec.structs.FieldInfo) -> str:
    """The source of the default of a field or an argument, as ` = 0`; empty if it is required."""
    if field.required:
        return ""
    made = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if isinstance(made, msgspec.Raw):
        made = msgspec.json.decode(made)
    return f" = {None if made is msgspec.UNSET else quoted(made)}"
