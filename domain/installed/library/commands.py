"""Commands from the signatures of methods."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import MISSING
from inspect import Parameter, cleandoc, signature
from types import FunctionType
from typing import Any, cast

import msgspec

from domain.installed.error import AggregateError
from domain.installed.library.anatomy import ENVELOPE, Anatomy
from domain.installed.library.annotations import required_hint, why_not_json
from domain.installed.library.keeping import is_changeable
from domain.installed.library.names import camel
from domain.messages import Command, Key

KEY = "id"


class UnusableError(Exception):
    """A command cannot have the parameters of a method."""


class Signature:
    """The parameters of a method, without its object, as fields of a command."""

    def __init__(self, anatomy: Anatomy, function: Any, where: str) -> None:
        self._anatomy = anatomy
        self._where = where
        # By its signature, `object.__init__` takes any arguments; in fact it takes none.
        is_written = isinstance(function, FunctionType)
        self._parameters = list(signature(function).parameters.values())[1:] if is_written else []
        self.doc = cleandoc(function.__doc__ or "") if is_written else ""
        self.names = tuple(one.name for one in self._parameters)

    def command(self, verb: str, doc: str, key: Any, *, takes_own_key: bool = False) -> type[Command]:
        """The struct of a command with these fields, and with `key` as the field of its key, if given.

        `takes_own_key` says that a parameter `id` is the key itself.

        Raises:
            UnusableError: there can be no such struct; the error says why.
        """
        fields = [self._field(one) for one in self._parameters if one.name != KEY or not takes_own_key]
        command = msgspec.defstruct(
            camel(verb),
            [*([] if key is None else [key]), *fields],
            bases=(Command,),
            module=f"{self._anatomy.kind.__module__}.{self._anatomy.kind.__name__}",
            namespace={"__doc__": doc},
            frozen=True,
            kw_only=True,
        )
        if (reason := why_not_json(command)) is not None:
            raise UnusableError(reason)
        return cast("type[Command]", command)

    def _field(self, parameter: Parameter) -> tuple[Any, ...]:
        name = parameter.name
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD, Parameter.POSITIONAL_ONLY):
            raise UnusableError(f"{parameter} has no name that a command could use")
        if name == KEY or name in ENVELOPE:
            raise UnusableError(f"its parameter {name} would stand where the aggregate's own {name} does")
        hint = required_hint(parameter.annotation, self._anatomy.kind, f"{self._where}({name})")
        if (reason := why_not_json(hint)) is not None:
            raise UnusableError(f"its parameter {name} has a type that JSON does not: {reason}")
        if parameter.default is Parameter.empty:
            return name, hint
        of_dataclass: Mapping[str, Any] = getattr(self._anatomy.kind, "__dataclass_fields__", {})
        factory = getattr(of_dataclass.get(name), "default_factory", MISSING)
        if factory is not MISSING and self._where.endswith(".__init__"):
            return name, hint, msgspec.field(default_factory=factory)
        if is_changeable(parameter.default):
            default = parameter.default
            return name, hint, msgspec.field(default_factory=lambda: deepcopy(default))
        return name, hint, parameter.default


def required_key() -> tuple[Any, ...]:
    """The field of the key in a command about an existing aggregate."""
    return KEY, Key


def optional_key() -> tuple[Any, ...]:
    """The field of the key in a creating command: if it is left out, the aggregate gets a new key."""
    return KEY, Key | None, None


def cannot_bring(where: str, error: UnusableError, name: str) -> AggregateError:
    """The error of a class that cannot be served because of one method."""
    return AggregateError(
        where, str(error), hint=f'change that, or leave it out: hyperpage_verbs = {{"{name}": None}}'
    )
