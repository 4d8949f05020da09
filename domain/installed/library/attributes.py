"""The attributes of a class and their types, as its source tells them.

An annotation gives the type: in the body of the class, at an assignment, or of a property that returns the
attribute. Without an annotation, the type is the union of those that are assigned: from parameters,
constants, an event's fields or classes that are called; it is not known if one of these is not. The types
decide about columns alone.
"""

import ast
from collections.abc import Iterator
from dataclasses import InitVar
from enum import Enum
from functools import reduce
from operator import or_
from types import NoneType
from typing import Any, ClassVar, get_origin

import msgspec

from domain.installed.library.anatomy import Anatomy
from domain.installed.library.annotations import resolved
from domain.installed.library.source import parsed

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_CONSTANTS = (NoneType, bool, int, float, str, bytes)
_NOT_TO_BE_HAD = (NameError, TypeError, AttributeError, SyntaxError, ValueError)
_UNKNOWN = object()


class Attribute(msgspec.Struct, frozen=True, kw_only=True):
    """An attribute: its public name, the name that it is kept under, and its type.

    `is_always` says that creating an aggregate gives it a value.
    """

    name: str
    kept_as: str
    hint: Any
    is_always: bool


def attributes_of(anatomy: Anatomy) -> tuple[Attribute, ...]:
    """The public attributes, and properties that only return an attribute; in the order of the source."""
    found = _Found()
    for one in anatomy.own_classes:
        if (statement := parsed(one)) is not None:
            _ClassReader(found, anatomy, one).read(statement)
        else:
            # A class without a source file still has the annotations of its body.
            for name, text in vars(one).get("__annotations__", {}).items():
                if (hint := _hint(text, one, anatomy)) is not _UNKNOWN:
                    found.declare(name, hint)
                    found.always.add(name)
    return tuple(found.attributes())


class _Found:
    """The types found so far, declared ones and those of assignments, and the attributes of properties."""

    def __init__(self) -> None:
        # In the order of the source.
        self.names: dict[str, None] = {}
        self.declared: dict[str, Any] = {}
        self.assigned: dict[str, list[Any]] = {}
        self.always: set[str] = set()
        self.returned: dict[str, tuple[str, Any]] = {}

    def declare(self, name: str, hint: Any) -> None:
        self.names[name] = None
        self.declared[name] = hint

    def assign(self, name: str, hint: Any) -> None:
        self.names[name] = None
        self.assigned.setdefault(name, []).append(hint)

    def attributes(self) -> Iterator[Attribute]:
        names = self.names
        shown = {kept_as: (name, hint) for name, (kept_as, hint) in self.returned.items() if kept_as in names}
        for kept_as in names:
            name, returned = shown.get(kept_as, (kept_as, _UNKNOWN))
            if not name.startswith("_"):
                yield Attribute(
                    name=name,
                    kept_as=kept_as,
                    hint=self._hint(kept_as) if returned is _UNKNOWN else returned,
                    is_always=kept_as in self.always,
                )

    def _hint(self, name: str) -> Any:
        if name in self.declared:
            return self.declared[name]
        kinds = list(dict.fromkeys(self.assigned.get(name, ())))
        if not kinds or _UNKNOWN in kinds or Any in kinds:
            return Any
        try:
            return reduce(or_, kinds)
        except TypeError:
            return Any


class _ClassReader:
    """Reads the class statement of one class."""

    def __init__(self, found: _Found, anatomy: Anatomy, owner: type) -> None:
        self._found = found
        self._anatomy = anatomy
        self._owner = owner

    def read(self, statement: ast.ClassDef) -> None:
        for one in statement.body:
            match one:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation) if name != "id":
                    hint = self.hint(annotation)
                    is_of_class = hint is ClassVar or get_origin(hint) is ClassVar
                    if hint is not _UNKNOWN and not is_of_class and not isinstance(hint, InitVar):
                        self._found.declare(name, hint)
                        self._found.always.add(name)
                case ast.ClassDef():
                    self._read_event(one)
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    if one.name in vars(self._owner):
                        self._read_method(one)

    def _read_event(self, statement: ast.ClassDef) -> None:
        """Reads the mutators of an event, which change the aggregate that they are given."""
        for one in statement.body:
            if isinstance(one, _Function) and one.name in ("apply", "mutate") and len(one.args.args) == 2:
                own, aggregate = (each.arg for each in one.args.args)
                event_class = self._anatomy.events.get(statement.name)
                self._read_function(one, aggregate, {own: _UNKNOWN if event_class is None else event_class})

    def _read_method(self, statement: _Function) -> None:
        arguments = [*statement.args.posonlyargs, *statement.args.args, *statement.args.kwonlyargs]
        if not arguments:
            return
        decorators = {ast.unparse(each) for each in statement.decorator_list}
        if decorators & {"classmethod", "staticmethod"}:
            return
        if "property" in decorators:
            self._read_property(statement, arguments[0].arg)
            return
        scope = {
            each.arg: Any if each.annotation is None else self.hint(each.annotation) for each in arguments[1:]
        }
        if statement.name == "__init__":
            # It replaces the `__init__` of the class's bases, which were read before.
            self._found.always -= self._found.assigned.keys()
        self._read_function(statement, arguments[0].arg, scope, is_first=statement.name == "__init__")

    def _read_property(self, statement: _Function, own: str) -> None:
        returned = [each for each in statement.body if not _is_text(each)]
        match returned:
            case [ast.Return(value=ast.Attribute(value=ast.Name(id=name), attr=kept_as))] if name == own:
                hint = _UNKNOWN if statement.returns is None else self.hint(statement.returns)
                self._found.returned[statement.name] = kept_as, hint

    def _read_function(
        self, function: _Function, target: str, scope: dict[str, Any], *, is_first: bool = False
    ) -> None:
        for one in ast.walk(function):
            match one:
                case ast.AnnAssign(target=place, annotation=annotation):
                    hint = self.hint(annotation)
                    if (name := _attribute(place, target)) is not None and hint is not _UNKNOWN:
                        self._found.declare(name, hint)
                case ast.Assign(targets=targets, value=value):
                    for each in targets:
                        if (name := _attribute(each, target)) is not None:
                            self._found.assign(name, self._kind_of(value, scope))
                        elif isinstance(each, ast.Tuple | ast.List):
                            for part in ast.walk(each):
                                if (name := _attribute(part, target)) is not None:
                                    self._found.assign(name, _UNKNOWN)
                case ast.AugAssign(target=place, value=value):
                    if (name := _attribute(place, target)) is not None:
                        self._found.assign(name, self._kind_of(value, scope))
        if is_first:
            for statement in function.body:
                at_once: list[Any] = getattr(statement, "targets", [getattr(statement, "target", None)])
                self._found.always |= {name for each in at_once if (name := _attribute(each, target))}

    def hint(self, annotation: ast.expr) -> Any:
        return _hint(ast.unparse(annotation), self._owner, self._anatomy)

    def _kind_of(self, value: ast.expr, scope: dict[str, Any]) -> Any:
        """The type of an expression; `_UNKNOWN` if it cannot be told."""
        match value:
            case ast.Constant(value=constant) if type(constant) in _CONSTANTS:
                return type(constant)
            case ast.Name(id=name) if name in scope:
                return scope[name]
            case ast.Attribute(value=ast.Name(id=name), attr=field) if isinstance(scope.get(name), type):
                annotations = [vars(one).get("__annotations__", {}) for one in scope[name].__mro__]
                found = next((each[field] for each in annotations if field in each), _UNKNOWN)
                return found if found is _UNKNOWN else _hint(found, self._owner, self._anatomy)
            case ast.Attribute(value=holder):
                # A member of an Enum.
                kind = self.hint(holder)
                return kind if isinstance(kind, type) and issubclass(kind, Enum) else _UNKNOWN
            case ast.Call(func=ast.Name() | ast.Attribute() as called):
                kind = self.hint(called)
                # Calling `list` or `dict` does not tell the types of what it holds.
                is_class = isinstance(kind, type) and not issubclass(
                    kind, list | dict | set | tuple | frozenset
                )
                return kind if is_class else _UNKNOWN
            case ast.JoinedStr():
                return str
            case ast.Compare() | ast.UnaryOp(op=ast.Not()):
                return bool
            case ast.IfExp(body=one, orelse=other):
                kinds = self._kind_of(one, scope), self._kind_of(other, scope)
                return _UNKNOWN if _UNKNOWN in kinds or Any in kinds else reduce(or_, kinds)
        return _UNKNOWN


def _hint(annotation: Any, owner: type, anatomy: Anatomy) -> Any:
    try:
        return resolved(annotation, owner.__module__, vars(anatomy.kind))
    except _NOT_TO_BE_HAD:
        return _UNKNOWN


def _attribute(place: Any, target: str) -> str | None:
    match place:
        case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name == target:
            return attribute
    return None


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
