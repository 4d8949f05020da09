"""`violations_of`: everything that is wrong with a body, where the decoder stops at the first fault.

It looks only at bodies that were refused. It asks the decoder itself about each part, so both always agree.
"""

import types
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from domain.credentials.scanning import kind_of_text
from domain.messages import KEY_RULES

# So the violations fit into an answer, and are found in about the time that a command takes.
MAXIMUM_VIOLATIONS = 20
MAXIMUM_CHARACTERS = 2_000
MAXIMUM_EXPLAINED_BYTES = 64 * 1024
# A character takes up to six bytes in JSON, and a thousand such messages fit into the answer to a batch.
MAXIMUM_MESSAGE_CHARACTERS = 150
_MOST_LOOKS = 500
# No name of ours is longer, and long names take longer to compare.
_LONGEST_NAME = 64
_LIKENESS = 0.6
_SECRET_FIELD = "Object contains an unknown field, whose name looks like a credential"


class Violation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fault: where it is, what is wrong, and what is allowed instead, if that can be listed."""

    path: str
    message: str
    allowed: tuple[Any, ...] = ()
    did_you_mean: str = ""


def violations_of(shape: Any, body: bytes, *, strict: bool = True) -> tuple[Violation, ...]:
    """The faults of a JSON body that does not have the given shape: up to 20; none if it is over 64 KiB.

    Texts that look like credentials are not repeated.
    """
    found: list[Violation] = []
    if len(body) > MAXIMUM_EXPLAINED_BYTES:
        return ()
    # The decoder stopped at the first fault; the rest of the body may not even be JSON.
    with suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
        for one in islice(
            _Look(strict=strict).into(shape, msgspec.json.decode(body), "$"), MAXIMUM_VIOLATIONS
        ):
            found.append(msgspec.structs.replace(one, message=readable(one.message)))
            if sum(len(each.message) + len(each.path) for each in found) > MAXIMUM_CHARACTERS:
                break
    return tuple(found)


@lru_cache(maxsize=256)
def nearest(name: str, names: tuple[str, ...]) -> str | None:
    """The one of `names` that is most like `name`; `None` if none is like it."""
    if len(name) > _LONGEST_NAME:
        return None
    return next(iter(get_close_matches(name, names, 1, _LIKENESS)), None)


def readable(message: str) -> str:
    """A message of the decoder, with the pattern of a key replaced by a rule in words."""
    for pattern, rule in KEY_RULES.items():
        if message.endswith(repr(pattern)):
            return f"this is not a key: {rule}"
    return message[:MAXIMUM_MESSAGE_CHARACTERS]


class _Look:
    """One look through a body, which stops after some hundred parts."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._left = _MOST_LOOKS

    def into(self, kind: Any, value: Any, path: str) -> Iterator[Violation]:
        self._left -= 1
        if self._left < 0 or (fault := self._fault(kind, value)) is None:
            return
        message, is_within = fault
        bare = _bare(kind)
        if isinstance(value, dict) and isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            yield from self._into_fields(bare, value, path)
        elif is_within and isinstance(value, list):
            for index, each in enumerate(value):
                yield from self.into(get_args(bare)[0], each, f"{path}[{index}]")
        elif is_within and isinstance(value, dict):
            for each in value.values():
                yield from self.into(get_args(bare)[1], each, f"{path}[...]")
        else:
            allowed = get_args(bare) if get_origin(bare) is Literal else ()
            close = nearest(value, allowed) if allowed and isinstance(value, str) else None
            if bare is int and isinstance(value, str):
                close = _in_milliseconds(value)
            if allowed and (close is None or kind_of_text(value) is not None):
                # The message would repeat the text, which may be a credential if it is like no allowed value.
                message = message.partition(" '")[0]
            yield Violation(path=path, message=message, allowed=allowed, did_you_mean=close or "")

    def _into_fields(
        self, shape: type[msgspec.Struct], value: dict[str, Any], path: str
    ) -> Iterator[Violation]:
        fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
        for name, each in value.items():
            if name in fields:
                yield from self.into(fields[name].type, each, f"{path}.{name}")
            elif shape.__struct_config__.forbid_unknown_fields:
                missing = tuple(known for known in fields if known not in value)
                close = nearest(name, missing)
                is_secret = kind_of_text(name) is not None
                yield Violation(
                    path=path,
                    message=_SECRET_FIELD if is_secret else f"Object contains unknown field `{name}`",
                    allowed=() if close else missing,
                    did_you_mean=close or "",
                )
        for name, field in fields.items():
            if field.required and name not in value:
                yield Violation(path=path, message=f"Object missing required field `{name}`")

    def _fault(self, kind: Any, value: Any) -> tuple[str, bool] | None:
        """The decoder's message about a value, and whether the fault lies inside of it; `None`: no fault."""
        try:
            msgspec.json.decode(msgspec.json.encode(value), type=kind, strict=self._strict)
        except msgspec.ValidationError as error:
            message, _, place = str(error).partition(" - at ")
            return message, place.startswith("`$")
        return None


def _in_milliseconds(text: str) -> str | None:
    """A time in milliseconds since the epoch, if the text is a time; UTC if it names no time zone."""
    if "-" not in text:
        # Without a dash, a text may be a time by chance.
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return str(round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000))


def _bare(kind: Any) -> Any:
    """A type without its limits, and without `None` if that is the only alternative to one other type."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, types.UnionType):
            others = [one for one in get_args(kind) if one not in (type(None), msgspec.UnsetType)]
            if len(others) != 1:
                return kind
            kind = others[0]
        else:
            return kind
