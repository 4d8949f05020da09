"""Commands of the command line that texts name, and whether the program has them."""

import re
from collections.abc import Iterator, Mapping

from ops.cli.main import application

# A name, in small letters. A word such as COMMAND stands for any; the words behind it are not read as names.
_NAME = re.compile(r"[a-z][a-z-]*")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
_EVERYWHERE = {"--help", "--version"}


def known_commands() -> Mapping[tuple[str, ...], set[str]]:
    """Each command by its words, with its options; a group of commands has none of its own."""
    return dict(_below(application(), ()))


def _below(app: object, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    for name in app:  # type: ignore[attr-defined]
        if name.startswith("-"):
            continue
        one = app[name]  # type: ignore[index]
        options: set[str] = set()
        if one.default_command is not None:
            options = {said for each in one.assemble_argument_collection() for said in each.names}
        yield (*words, name), options
        yield from _below(one, (*words, name))


def unknown_in(text: str, commands: Mapping[tuple[str, ...], set[str]]) -> Iterator[str]:
    """The commands between backticks, or behind a prompt, that don't exist, or not with these options."""
    spans = re.findall(r"`(hyperpage [^`]+)`", text) + re.findall(
        r"^ *\$ (hyperpage .+)$", text, re.MULTILINE
    )
    for span in spans:
        # A line may have several commands, or a pipe.
        for line in re.split(r"\s*(?:&&|\||;|>)\s*", " ".join(span.split())):
            if line.startswith("hyperpage ") and not _is_known(line, commands):
                yield span


def _is_known(line: str, commands: Mapping[tuple[str, ...], set[str]]) -> bool:
    words: tuple[str, ...] = ()
    said = line.split()[1:]
    while said and (*words, said[0]) in commands:
        words = (*words, said.pop(0))
    is_group = any(len(one) > len(words) and one[: len(words)] == words for one in commands)
    if not words:
        # `hyperpage COMMAND`, `hyperpage --help`
        return not said or not _NAME.fullmatch(said[0])
    if is_group and said and _NAME.fullmatch(said[0]):
        return False
    options = set(_OPTION.findall(" ".join(said)))
    return is_group or options <= commands[words] | _EVERYWHERE
