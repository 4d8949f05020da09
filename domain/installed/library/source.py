"""The source of a class, as a syntax tree. It is read when the class is adapted, and no later."""

import ast
import inspect
from functools import lru_cache
from hashlib import sha256
from types import ModuleType

_Scope = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def parsed(kind: type) -> ast.ClassDef | None:
    """The class statement of a class; `None` if its source is not available."""
    module = inspect.getmodule(kind)
    found: _Scope | None = None if module is None else _parsed_module(module)
    for name in kind.__qualname__.split("."):
        if found is not None and name != "<locals>":
            found = _within(found, name)
    return found if isinstance(found, ast.ClassDef) else None


def fingerprint(*kinds: type) -> str:
    """A hash of the source of classes, without comments and spaces."""
    told = [(one.__module__, one.__qualname__, _told(one)) for one in kinds]
    return sha256(repr(told).encode()).hexdigest()[:16]


# A module may have many classes, and is parsed once for all of them.
@lru_cache(maxsize=16)
def _parsed_module(module: ModuleType) -> ast.Module | None:
    try:
        return ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None


def _within(scope: ast.AST, name: str) -> _Scope | None:
    """The last statement that defines this name, which is the one that counts."""
    found: _Scope | None = None
    for one in ast.iter_child_nodes(scope):
        if isinstance(one, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found = one if one.name == name else found
        elif isinstance(one, ast.stmt | ast.excepthandler):
            # The definition may stand within another statement, such as `if`.
            found = _within(one, name) or found
    return found


def _told(kind: type) -> str:
    statement = parsed(kind)
    return "" if statement is None else ast.dump(statement)
