"""The layout of Python sources, where no formatter is available: imports, blank lines, line breaks."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

WIDTH = 100
_OPENING, _CLOSING = "([{", ")]}"
_OPENED = re.compile(r"( *)(?:async def |def |class )")


def module(docstring: Sequence[str], imports: Mapping[str, str], body: Iterable[str]) -> str:
    """A module with these lines as its body, and those of the `imports` (modules by name) that it uses.

    If a name is different in its module, that name follows behind a colon. A type gets an alias in a class
    with a member of the same name: a type checker would take the type for that member.
    """
    lines, aliases = _with_aliases("\n".join(body))
    used = {*_used(ast.parse("\n".join(lines)), frozenset()), *aliases}
    head = [*docstring, "", "from __future__ import annotations", "", *_imported(used, imports)]
    # Aliases are at the end of the module, where all types are known; annotations are evaluated later.
    renamed = [f"_{name} = {name}" for name in sorted(aliases)]
    explained = ["", "", "# Types, for classes that have a member of the same name.", *renamed]
    return "\n".join([*head, *_laid_out(lines), *(explained if renamed else [])]) + "\n"


def _with_aliases(source: str) -> tuple[list[str], set[str]]:
    """The lines, with types replaced by aliases, and the names of these types."""
    lines = source.split("\n")
    found: list[tuple[int, int, str]] = []
    for one in ast.parse(source).body:
        if isinstance(one, ast.ClassDef):
            members = set(_members(one))
            for node in _annotations(one):
                found += (
                    (name.lineno - 1, name.col_offset, name.id)
                    for name in ast.walk(node)
                    if isinstance(name, ast.Name) and name.id in members
                )
    # From the last one on, so that the other columns stay valid; columns are counted in bytes.
    for line, column, _ in sorted(found, reverse=True):
        content = lines[line].encode()
        lines[line] = (content[:column] + b"_" + content[column:]).decode()
    return lines, {name for *_, name in found}


def _members(one: ast.ClassDef) -> Iterator[str]:
    for node in one.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name


def _annotations(one: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(one):
        match node:
            case ast.AnnAssign(annotation=annotation) | ast.arg(annotation=ast.expr() as annotation):
                yield annotation
            case (
                ast.FunctionDef(returns=ast.expr() as annotation)
                | ast.AsyncFunctionDef(returns=ast.expr() as annotation)
            ):
                yield annotation


def _used(node: ast.AST, arguments: frozenset[str]) -> Iterator[str]:
    """The names that refer to something outside of the functions that use them."""
    if isinstance(node, ast.Name) and node.id not in arguments:
        yield node.id
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        for outside in (*_annotations(node), *node.args.defaults, *filter(None, node.args.kw_defaults)):
            yield from _used(outside, arguments)
        of_body = arguments | {one.arg for one in (*node.args.args, *node.args.kwonlyargs)}
        for statement in node.body:
            yield from _used(statement, of_body)
    else:
        for inner in ast.iter_child_nodes(node):
            yield from _used(inner, arguments)


def _imported(used: set[str], imports: Mapping[str, str]) -> Iterator[str]:
    by_place: dict[str, list[str]] = {}
    for name in used & imports.keys():
        place, _, theirs = imports[name].partition(":")
        by_place.setdefault(place, []).append(f"{theirs} as {name}" if theirs else name)
    ours = {place for place in by_place if place.startswith("hyperpage_client")}
    for place in sorted(by_place.keys() - ours):
        yield _from(place, by_place[place])
    yield from ("", "import msgspec", "") if "msgspec" in used else ("",)
    for place in sorted(ours):
        yield _from(place, by_place[place])


def _from(place: str, names: Iterable[str]) -> str:
    """An import line: constants come first, then classes, then the rest."""
    in_order = sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name))
    return f"from {place} import {', '.join(in_order)}"


def _laid_out(lines: Iterable[str]) -> Iterator[str]:
    """The lines, with two blank lines before top-level code, one before a method, and long lines broken."""
    before, in_docstring = " ", False
    for line in map(str.rstrip, lines):
        opened = None if in_docstring else _OPENED.match(line)
        if opened is not None and before:
            yield from ("",) if opened[1] else ("", "")
        elif not in_docstring and line and not line.startswith((" ", ")", "else")) and before.startswith(" "):
            yield from ("", "")
        # Drops the blank line below a class without a docstring.
        is_text = in_docstring or line.lstrip().startswith('"""')
        if line or in_docstring or not before.startswith("class "):
            yield from (line,) if is_text else _fitting(line)
        in_docstring ^= line.count('"""') % 2 == 1
        before = line


def _fitting(line: str) -> Iterator[str]:
    """A line; if it is too long, broken into several at the commas between its first brackets."""
    places = _first_brackets(line)
    if len(line) <= WIDTH or places is None:
        yield line
        return
    opening, commas, closing = places
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    inside = f"{indent}{line[opening + 1 : closing]}"
    yield line[: opening + 1]
    if len(inside) <= WIDTH:
        yield inside
    else:
        for begin, end in zip((opening, *commas), (*commas, closing), strict=True):
            # A single item gets no comma, which would make a tuple of it.
            yield from _fitting(f"{indent}{line[begin + 1 : end].strip()}{',' if commas else ''}")
    yield indent[4:] + line[closing:]


def _first_brackets(line: str) -> tuple[int, list[int], int] | None:
    """The places of the first brackets that are not empty: the opening, the commas inside, the closing."""
    depth, opening, commas, quote = 0, -1, list[int](), ""
    for place, character in enumerate(line):
        if quote:
            if character == quote and (line[place - 1] != "\\" or line[place - 2 : place] == "\\\\"):
                quote = ""
        elif character in "'\"":
            quote = character
        elif character in _OPENING:
            depth += 1
            if depth == 1:
                opening = place
        elif character in _CLOSING:
            depth -= 1
            if depth == 0 and place > opening + 1:
                return opening, commas, place
        elif character == "," and depth == 1:
            commas.append(place)
    return None
