"""Decodes the bodies of commands and queries, and encodes answers and refusals."""

import json
import re
from collections.abc import Collection
from functools import cache
from hashlib import sha256
from typing import Any, get_args

import msgspec

from bus.contract.names import no_such_command, tell_schema
from bus.contract.violations import MAXIMUM_MESSAGE_CHARACTERS, violations_of
from domain.catalogue import VERBS
from domain.credentials.first_look import may_hold_credential
from domain.credentials.scanning import (
    UNREADABLE,
    Finding,
    credentials_in,
    kind_of_text,
    rejected,
)
from domain.decider import Decider, Verb
from domain.errors import Invalid, Refusal, TooLarge
from domain.finite import OF_BODIES, may_be_unbounded, require_finite
from domain.messages import KEY_RULES
from hyperpage_client.contract.commands import MAXIMUM_BATCH_BYTES, MAXIMUM_BATCH_COMMANDS, BatchItem
from hyperpage_client.contract.headers import ERROR, ERROR_CODE
from hyperpage_client.contract.subjects import BATCH

# SQLite's JSON functions stop at 1,000 levels, and an envelope adds some. No sensible body comes near this.
MAXIMUM_DEPTH = 64
# An answer stays under the broker's 1 MiB, with room for its headers.
MAXIMUM_ANSWER_BYTES = 900 * 1024
MAXIMUM_COMMAND_ID_CHARACTERS = 128
# Separates a command id from its owner where an answer is remembered; neither an id nor a name holds it.
OWNED_BY = "\ufffd"

_BACKSLASH = ord("\\")
_ENCODER = msgspec.json.Encoder()
_SORTED_ENCODER = msgspec.json.Encoder(order="sorted")
_ANY = msgspec.json.Decoder()
# The decoder of each struct, and whether the struct may have a number made of a text. That need not be
# finite: `"NaN"` is a Decimal.
_DECODERS: dict[type[Any], tuple[msgspec.json.Decoder[Any], bool]] = {}
_NOT_PRINTABLE = re.compile(r"[^ -~]")
# A whole string of JSON. It is applied only to a body that msgspec has decoded: an unterminated string takes
# long.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
# Numbers near the limits of a double take 8 µs to read, a hundred times as long as others, and so do numbers
# of hundreds of digits. The expressions include the marks around a number, so that they do not match digests.
_FAR_NUMBER = re.compile(rb"[\[,:\s]-?[0-9]++(?:\.[0-9]++)?[eE][-+]?0*+[1-9][0-9]{2}(?=[\],}\s])")
_LONG_NUMBER = re.compile(rb"[\[,:\s]-?[0-9]{300}")
MAXIMUM_FAR_NUMBERS = 1_000
MAXIMUM_LONG_NUMBERS = 10
# Makes all digits 0, and both spellings of an exponent the same. A body with a slow number then contains one
# of the two texts below.
_NUMBERS = bytes.maketrans(b"123456789E", b"000000000e")
_FAR = b"0e000"
_LONG = b"0" * 300
_BRACKETS = bytes.maketrans(b"[{]}", b"(())")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
# msgspec appends the path of the fault: "Expected `int`, got `str` - at `$.limit`".
_QUOTED = re.compile(r"[`'](?P<text>.+)[`']", re.DOTALL)
_PATH = re.compile(r"^(?P<message>.*?)(?: - at (?:`key` in )?`(?P<path>[^`]*)`)?$", re.DOTALL)


class Batch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Several commands in one message; `atomic` makes them all or nothing."""

    commands: list[BatchItem]
    atomic: bool = False


def find_verb(name: str, away: Collection[str] = (), *, explains: bool = True) -> tuple[Decider, Verb]:
    """The aggregate and the verb of a command's name, such as `jobs.enqueue`.

    `away` are tables whose aggregates are no longer installed. `explains` says whether a refusal may take the
    time to look for the name that was meant.

    Raises:
        NotFound: there is no such command; the hint suggests the name that may have been meant.
        SecretRejected: there is none, and its name looks like a credential, which is not repeated.
    """
    found = VERBS.get(name)
    if found is None or found[1].internal:
        raise no_such_command(name, away, explains=explains)
    return found


def decode_command(
    verb: Verb, body: bytes, *, name: str = "", is_unambiguous: bool = False, explains: bool = True
) -> Any:
    """The command struct of a request's body; an empty body counts as an empty object.

    The other parameters are those of `decode`.

    Raises:
        TooLarge: the body is over the verb's limit.
        Invalid: it is not JSON of the verb's schema; `details.path` says where, and `details.violations` all
            that is wrong with it.
    """
    if len(body) > verb.maximum_bytes:
        raise TooLarge(
            f"the body has {len(body)} bytes, and may have {verb.maximum_bytes}",
            limit_bytes=verb.maximum_bytes,
            size_bytes=len(body),
        )
    return decode(verb.command, body, name=name, is_unambiguous=is_unambiguous, explains=explains)


def findings_in(content: bytes) -> tuple[Finding, ...]:
    """The parts of a body that look like credentials, whether the body is JSON or not."""
    if not may_hold_credential(content):
        return ()
    try:
        if _is_slow(content):
            return (Finding("$", UNREADABLE),)
        document = _ANY.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        document = content.decode("utf-8", "replace")
    except RecursionError:
        return (Finding("$", UNREADABLE),)
    return tuple(credentials_in(document))


def decode_batch(body: bytes) -> Batch:
    """A batch, with its commands' bodies still undecoded.

    Raises:
        TooLarge: over 960 KiB, or more than 1,000 commands.
        Invalid: it is not JSON of a batch.
    """
    if len(body) > MAXIMUM_BATCH_BYTES:
        raise TooLarge(
            f"the batch has {len(body)} bytes, and may have {MAXIMUM_BATCH_BYTES}",
            limit_bytes=MAXIMUM_BATCH_BYTES,
            size_bytes=len(body),
        )
    batch: Batch = decode(Batch, body, name=BATCH)
    if len(batch.commands) > MAXIMUM_BATCH_COMMANDS:
        raise TooLarge(
            f"the batch has {len(batch.commands)} commands, and may have {MAXIMUM_BATCH_COMMANDS}",
            limit=MAXIMUM_BATCH_COMMANDS,
            size=len(batch.commands),
        )
    return batch


def decode(
    shape: type[Any], body: bytes, *, name: str = "", is_unambiguous: bool = False, explains: bool = True
) -> Any:
    """The struct of a JSON body. Duplicate names, lone surrogates, NaN and deep nesting are refused as well.

    `name` is the name of the command or query, for the hint. `is_unambiguous` says that the body was checked
    for that already, as a part of another. `explains` says whether a refusal lists everything that is wrong.

    Raises:
        Invalid: the body is not such a struct; with the path, where it is known.
    """
    body = body or b"{}"
    if not is_unambiguous and _is_slow(body):
        raise Invalid(
            "the body has too many numbers of hundreds of digits, or with exponents of three",
            hint=f"up to {MAXIMUM_FAR_NUMBERS} with such exponents, and {MAXIMUM_LONG_NUMBERS} of 300 digits;"
            " more of them as texts",
            path="$",
        )
    known = _DECODERS.get(shape)
    if known is None:
        kind: Any = shape
        has_decimals = may_be_unbounded(kind, OF_BODIES)
        known = _DECODERS[shape] = msgspec.json.Decoder(shape), has_decimals
    decoder, has_decimals = known
    try:
        decoded = decoder.decode(body)
        if not is_unambiguous:
            _refuse_ambiguity(body)
    except msgspec.ValidationError as error:
        raise refusal_of(error, shape, body if explains else b"", name=name) from None
    except msgspec.DecodeError as error:
        raise Invalid(str(error), path="$") from None
    except UnicodeDecodeError as error:
        raise Invalid(f"the body is not UTF-8: byte {error.start}", path="$") from None
    except RecursionError:
        raise _too_deep() from None
    if has_decimals:
        require_finite(decoded)
    return decoded


def refusal_of(
    error: msgspec.ValidationError, shape: Any, body: bytes, *, name: str = "", strict: bool = True
) -> Refusal:
    """The refusal of a body that does not have its struct's types. It says what is wrong, and where.

    `details.violations` lists everything, the first fault included; it is left out if `body` is empty.
    """
    match = _PATH.match(str(error))
    assert match is not None
    refusal = _invalid(match["message"], match["path"] or "$")
    if isinstance(refusal, Invalid):
        if name:
            tell_schema(refusal, name)
        if body and (found := violations_of(shape, body, strict=strict)):
            refusal.details["violations"] = found
    return refusal


def _is_slow(body: bytes) -> bool:
    """Whether the numbers of a body take longer to read than any other body of its size."""
    if len(body) <= MAXIMUM_FAR_NUMBERS:
        return False
    # Regular expressions take ten times as long as this, and most bodies do not need them.
    numbers = body.translate(_NUMBERS, b"+-")
    if numbers.count(_FAR) > MAXIMUM_FAR_NUMBERS and len(_FAR_NUMBER.findall(body)) > MAXIMUM_FAR_NUMBERS:
        return True
    return _LONG in numbers and len(_LONG_NUMBER.findall(body)) > MAXIMUM_LONG_NUMBERS


def _refuse_ambiguity(body: bytes) -> None:
    """Refuses a body that another parser may read differently; it would be stored and sent to subscribers."""
    if (
        len(body) > 2 * MAXIMUM_DEPTH
        and body.count(b"[") + body.count(b"{") > MAXIMUM_DEPTH
        and _is_too_deep(body)
    ):
        raise _too_deep()
    # Decoding a struct leaves its raw parts unread; this reads them, too.
    plain = _ANY.decode(body)
    # If an object has a name twice, its first value is lost, and a colon with it. Only an escaped colon could
    # make the counts equal again. So each object is checked if there are escapes, or if the counts differ.
    if (_BACKSLASH in body and b"\\u" in body) or body.count(b":") != _ENCODER.encode(plain).count(b":"):
        json.loads(body, object_pairs_hook=_unique_names)


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _invalid(f"the name {twice[:100]!r} is there twice in one object", "$")
    return members


def _invalid(message: str, path: str) -> Refusal:
    """The refusal of a body. The reason may repeat a part of it, unless that looks like a credential."""
    # The quoted text is checked alone, too: some credentials are recognised only at the beginning of a text.
    quoted = _QUOTED.search(message)
    kind = kind_of_text(message) or kind_of_text(path) or (quoted and kind_of_text(quoted["text"]))
    if kind is not None:
        return rejected(Finding("$", kind))
    for pattern, rule in KEY_RULES.items():
        if message.endswith(repr(pattern)):
            return Invalid("this is not a key", hint=rule, path=path)
    # The message may contain a name of any length.
    return Invalid(message[:MAXIMUM_MESSAGE_CHARACTERS], path=path)


def _is_too_deep(body: bytes) -> bool:
    if _BACKSLASH in body:
        outside = _STRING.sub(b"", body)
    else:
        # Every other quote ends a string.
        outside = b"".join(body.split(b'"')[::2])
    brackets = outside.translate(_BRACKETS, _NOT_BRACKETS)
    for _ in range(MAXIMUM_DEPTH):
        if not brackets:
            return False
        # Removes the innermost level.
        brackets = brackets.replace(b"()", b"")
    return bool(brackets)


def _too_deep() -> Invalid:
    return Invalid(f"the body is nested more than {MAXIMUM_DEPTH} levels deep", path="$")


def request_hash(name: str, expected_version: int | None, command: Any) -> bytes:
    """A hash of verb, expected version and body. It tells requests with the same command id apart.

    A field that holds its default counts as left out, whether it was sent or not: a retry may differ in that,
    and a field that a later version adds does not change the hash of an older command.
    """
    canonical = _SORTED_ENCODER.encode(_with_own_defaults(command))
    return sha256(f"{name}\n{expected_version}\n".encode() + canonical).digest()


def _with_own_defaults(value: Any) -> Any:
    """The same struct, with each value that equals a default replaced by the default object itself.

    The encoder leaves a field out only if it holds that very object.
    """
    if isinstance(value, tuple):
        return tuple(map(_with_own_defaults, value))
    if not isinstance(value, msgspec.Struct):
        return value
    mistakable, nesting = _fields_to_look_at(type(value))
    held = msgspec.structs.astuple(value)
    changes: dict[str, Any] = {
        name: default
        for place, name, default in mistakable
        if held[place] is not default and held[place] == default
    }
    for place, name in nesting:
        if held[place] and (own := _with_own_defaults(held[place])) is not held[place]:
            changes[name] = own
    return msgspec.structs.replace(value, **changes) if changes else value


@cache
def _fields_to_look_at(
    shape: type[msgspec.Struct],
) -> tuple[tuple[tuple[int, str, Any], ...], tuple[tuple[int, str], ...]]:
    """The fields whose value may equal the default without being the same object, and those with structs.

    Each field comes with its place among all fields.
    """
    fields = list(enumerate(msgspec.structs.fields(shape)))
    mistakable = tuple(
        (place, field.name, field.default)
        for place, field in fields
        if field.default is not msgspec.NODEFAULT and not _is_single(field.default)
    )
    return mistakable, tuple((place, field.name) for place, field in fields if _holds_structs(field.type))


def _is_single(default: Any) -> bool:
    """Whether every value that equals a default is the same object, as CPython has it for small numbers."""
    if isinstance(default, int):
        return -5 <= default <= 256
    return default is None or default is msgspec.UNSET or default == ()


def _holds_structs(kind: Any) -> bool:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return True
    return any(map(_holds_structs, get_args(kind)))


def encode(value: Any) -> bytes:
    """The compact JSON of a value."""
    return _ENCODER.encode(value)


def error_body(refusal: Refusal) -> bytes:
    """The body of a refused command or query."""
    error = {
        "code": refusal.code,
        "message": refusal.message,
        "hint": refusal.hint,
        "details": refusal.details,
    }
    return _ENCODER.encode({"error": error})


def error_headers(refusal: Refusal) -> dict[str, str]:
    """The headers by which clients of the Services API recognise an error."""
    return {
        ERROR: f"{refusal.code}: {one_line(refusal.message)}",
        ERROR_CODE: str(refusal.number),
    }


def one_line(text: str) -> str:
    """A text as the value of a header: one line of ASCII, which every client reads."""
    return _NOT_PRINTABLE.sub("?", " ".join(text.split()))
