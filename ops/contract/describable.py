"""Converts types to ones that msgspec can write into a JSON Schema, as the documents are to show them."""

import types
from collections.abc import Callable
from dataclasses import is_dataclass
from enum import Enum
from functools import cache, reduce
from inspect import cleandoc
from operator import or_
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    TypedDict,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import msgspec


class Describer:
    """Makes describable types, each struct once.

    `name_of` answers with the name of a struct. With `is_written`, structs are described as they are encoded:
    fields with a default are optional in structs that leave out defaults, and all other fields are required.
    """

    def __init__(self, name_of: Callable[[Any], str], *, is_written: bool = False) -> None:
        self._name_of = name_of
        self._is_written = is_written
        self._made: dict[Any, Any] = {}
        # Types that are being made. A struct inside itself becomes `Any`: a class cannot refer to itself yet.
        self._begun: set[Any] = set()

    def describable(self, kind: Any) -> Any:
        """The same type, or a describable one like it."""
        origin, arguments = get_origin(kind), get_args(kind)
        if _is_struct(origin or kind):
            return self._once(kind, self._struct)
        if _is_named(kind):
            return self._once(kind, self._under_its_name)
        if origin is Literal or not arguments:
            return kind
        if origin is Annotated:
            return Annotated[(self.describable(arguments[0]), *kind.__metadata__)]
        described = tuple(map(self.describable, arguments))
        if origin in (Union, types.UnionType):
            return reduce(or_, described)
        return origin[described]

    def _once(self, kind: Any, make: Callable[[Any], Any]) -> Any:
        if kind in self._begun:
            return Any
        if kind not in self._made:
            self._begun.add(kind)
            self._made[kind] = make(kind)
            self._begun.remove(kind)
        return self._made[kind]

    def _struct(self, kind: Any) -> Any:
        struct: type[msgspec.Struct] = get_origin(kind) or kind
        fields = [self._field(field, struct) for field in msgspec.structs.fields(kind)]
        return msgspec.defstruct(
            self._name_of(kind),
            fields,
            module=struct.__module__,
            namespace={"__doc__": cleandoc(struct.__doc__ or "") or None},
            kw_only=True,
            forbid_unknown_fields=struct.__struct_config__.forbid_unknown_fields,
            # The tag tells the structs of a union apart.
            tag=struct.__struct_config__.tag,
            tag_field=struct.__struct_config__.tag_field,
        )

    def _under_its_name(self, kind: Any) -> Any:
        """A class that is no struct, or one like it with the right name and describable types."""
        name = self._name_of(kind)
        if issubclass(kind, Enum):
            return kind if name == kind.__name__ else _enumeration(kind, name)
        hints = get_type_hints(kind, include_extras=True)
        made = {field: self.describable(hint) for field, hint in hints.items()}
        if name == kind.__name__ and made == hints:
            return kind
        if is_typeddict(kind):
            required = kind.__required_keys__
            fields = {one: Required[made[one]] if one in required else NotRequired[made[one]] for one in made}
            typed_dict: Any = TypedDict
            like = typed_dict(name, fields)
            like.__doc__ = kind.__doc__
            return like
        doc = kind.__doc__ or ""
        # A dataclass without a docstring has its signature as one.
        doc = None if doc.startswith(f"{kind.__name__}(") else doc
        return type(name, (kind,), {"__doc__": doc, "__annotations__": made, "__module__": kind.__module__})

    def _field(self, field: Any, struct: type[msgspec.Struct]) -> Any:
        name, kind, default = field.encode_name, self.describable(field.type), _default(field)
        if field.required:
            return name, kind
        if not self._is_written or default is msgspec.UNSET:
            is_made = default is msgspec.NODEFAULT
            return name, kind, msgspec.field(default_factory=field.default_factory) if is_made else default
        if not struct.__struct_config__.omit_defaults or default is msgspec.NODEFAULT:
            return name, kind
        if default is None:
            return name, _never_null(kind) | msgspec.UnsetType, msgspec.UNSET
        told = f"`{msgspec.json.encode(default).decode()}` if it is left out"
        return name, Annotated[kind | msgspec.UnsetType, msgspec.Meta(description=told)], msgspec.UNSET


def _default(field: Any) -> Any:
    """The default of a field as JSON has it; `NODEFAULT` if another factory makes it."""
    if field.default_factory in (dict, list):
        return field.default_factory()
    if isinstance(field.default, msgspec.Raw):
        # msgspec cannot write a `Raw` into a schema.
        return msgspec.json.decode(field.default)
    # A list in the place of a tuple, which JSON does not have: a document must equal one that is read again.
    return list(field.default) if isinstance(field.default, tuple) else field.default


def _is_named(kind: Any) -> bool:
    """Whether a type is no struct, but msgspec gives it a named schema, too."""
    if not isinstance(kind, type) or _is_struct(kind):
        return False
    of_fields = hasattr(kind, "_fields") or hasattr(kind, "__attrs_attrs__") or is_dataclass(kind)
    return of_fields or is_typeddict(kind) or issubclass(kind, Enum)


@cache
def _enumeration(kind: type[Enum], name: str) -> Any:
    """The enumeration under another name; cached, so that it is one class with one schema."""
    enumeration: Any = Enum
    made = enumeration(name, [(one.name, one.value) for one in kind], module=kind.__module__)
    made.__doc__ = kind.__doc__
    return made


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _never_null(kind: Any) -> Any:
    if get_origin(kind) is Annotated:
        return Annotated[(_never_null(get_args(kind)[0]), *kind.__metadata__)]
    kinds = [one for one in get_args(kind) if one is not types.NoneType]
    return reduce(or_, kinds) if types.NoneType in get_args(kind) else kind
