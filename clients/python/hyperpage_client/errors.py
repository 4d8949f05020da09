"""The refusals of a service as exceptions, one class for each code.

`Refusal` is the base of all of them. A program with classes of its own for them, such as the service itself,
puts subclasses of these into `KINDS`.
"""

from typing import Any, ClassVar

import msgspec

from hyperpage_client.documents import decoded


class Refusal(Exception):
    """A command or query that was not carried out. Nothing was stored for it.

    `code` is what to decide by, `message` says what is wrong, `hint` what to do about it; `details` has the
    machine-readable part.
    """

    code: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "", **details: Any) -> None:
        # Not `super()`: a subclass may have another base class, too, whose constructor takes other arguments.
        Exception.__init__(self, message)
        self.message = message
        self.hint = hint
        self.details = details


class Invalid(Refusal):
    """The body is not what the verb's schema says; `details["path"]` says where."""

    code = "invalid"


class Forbidden(Refusal):
    """The sender is known, and has not the right to this."""

    code = "forbidden"


class NotFound(Refusal):
    """There is no such thing, or it holds nothing any more."""

    code = "not_found"


class VersionConflict(Refusal):
    """The stream is at another version than was expected; `details` has both."""

    code = "version_conflict"


class AlreadyExists(Refusal):
    """The key is taken."""

    code = "already_exists"


class CommandIdReused(Refusal):
    """The command id was accepted before, for another command."""

    code = "command_id_reused"


class TooLarge(Refusal):
    """A body, value or batch is over its limit; `details` has the limit and the size, in bytes."""

    code = "too_large"


class RuleViolated(Refusal):
    """A rule of the domain forbids it; `details["rule"]` is the stable name of the rule."""

    code = "refused"


class SecretRejected(Refusal):
    """A value looks like a credential; `details["path"]` says where."""

    code = "secret_rejected"


class Busy(Refusal):
    """It would wait too long, or there is no room; `details["retry_after_ms"]` says when to try again."""

    code = "busy"


class Unavailable(Refusal):
    """The store cannot take the command now (disk full, restoring, shutting down); nothing was stored."""

    code = "unavailable"


class Behind(Refusal):
    """The store that answers is not as new as was asked for; `details` has where it is."""

    code = "behind"


class Internal(Refusal):
    """A defect of the service; `details["incident"]` is the id under which it was logged."""

    code = "internal"


class UnknownRefusal(Refusal):
    """A refusal with a code that this program does not know, of a newer service; `details["code"]` has it."""

    code = "unknown"


# The class of each code.
KINDS: dict[str, type[Refusal]] = {kind.code: kind for kind in Refusal.__subclasses__()}


# The hint for a refusal that cannot be read: it comes from a newer service, or from no service at all.
_NEWER = "see that what answers is a service, and that this program is not older than it"


class _Error(msgspec.Struct):
    code: str
    message: str
    hint: str = ""
    details: dict[str, Any] = {}


_decode_body = msgspec.json.Decoder(dict[str, Any]).decode


def refusal_of(code: str, message: str, *, hint: str, details: dict[str, Any]) -> Refusal:
    """The refusal with this code."""
    kind = KINDS.get(code)
    if kind is None:
        kind, details = KINDS[UnknownRefusal.code], {**details, "code": code}
    # The subclass's own constructor is not called: it may take a part of the details under another name.
    made = kind.__new__(kind)
    Refusal.__init__(made, message, hint=hint)
    made.details = details
    return made


def read_refusal(body: bytes) -> Refusal:
    """The refusal in the body of an error."""
    try:
        told = refusal_in(decoded(_decode_body, body))
    except msgspec.MsgspecError:
        told = None
    return told or refusal_of("", "an error whose body cannot be read", hint=_NEWER, details={})


def refusal_in(outcome: dict[str, Any]) -> Refusal | None:
    """The refusal in one outcome of a batch; `None` if the outcome is an answer."""
    if "error" not in outcome:
        return None
    error = msgspec.convert(outcome["error"], _Error)
    return refusal_of(error.code, error.message, hint=error.hint, details=error.details)
