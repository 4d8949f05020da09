"""The refusals of commands and queries.

The tree, with the code that an answer carries and its number:

    Refusal                        every refusal has a code, a message, a hint and details
    ├── Invalid                    invalid              400  the body is not the verb's schema
    ├── Forbidden                  forbidden            403  the sender has not the right to it
    ├── NotFound                   not_found            404  the stream does not exist
    ├── VersionConflict            version_conflict     409  the stream is at another version
    ├── AlreadyExists              already_exists       409  the key is taken
    ├── CommandIdReused            command_id_reused    409  this id belongs to another command
    ├── TooLarge                   too_large            413  over the size limit
    ├── RuleViolated               refused              422  the domain says no; details.rule names the rule
    ├── SecretRejected             secret_rejected      422  a value looks like a credential
    ├── Busy                       busy                 429  too much is waiting; details.retry_after_ms
    ├── Unavailable                unavailable          503  nothing was stored; try again later
    ├── Behind                     behind               503  what answers is not as new as was asked for
    └── Internal                   internal             500  a defect here; details.incident is its id
"""

from typing import Any, ClassVar


class Refusal(Exception):
    """A command or query that was not carried out. Nothing was stored for it.

    `message` says what is wrong, `hint` what to do about it, `details` holds the machine-readable part. Where
    nothing better is known, the hint is the `usual_hint` of the code: it is never empty.
    """

    code: ClassVar[str]
    number: ClassVar[int]
    usual_hint: ClassVar[str] = "nothing was changed"

    def __init__(self, message: str, *, hint: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.usual_hint
        self.details = details


class Invalid(Refusal):
    """The body is not what the verb's schema says; `details.path` says where."""

    code = "invalid"
    number = 400
    usual_hint = (
        "nothing was changed: correct it and send it again; `hyperpage schema NAME` says what a command"
        " or query takes"
    )


class Forbidden(Refusal):
    """The sender is known, but has no right to do this."""

    code = "forbidden"
    number = 403
    usual_hint = "nothing was changed: ask whoever runs the service for the right to it, or for another user"


class NotFound(Refusal):
    """The stream does not exist (or holds nothing any more)."""

    code = "not_found"
    number = 404
    usual_hint = "look at how the name is written, or list what there is"


class VersionConflict(Refusal):
    """The stream is at another version than the caller expected; `details` has both."""

    code = "version_conflict"
    number = 409
    usual_hint = "nothing was changed: read it again, and decide on what it is now"


class AlreadyExists(Refusal):
    """The key is taken."""

    code = "already_exists"
    number = 409
    usual_hint = "nothing was changed: choose another name, or use what is there"


class CommandIdReused(Refusal):
    """The command id was accepted before, for another verb, body or expected version."""

    code = "command_id_reused"
    number = 409
    usual_hint = (
        "nothing was changed: a retry repeats the command as it was; anything else needs an id of its own"
    )


class TooLarge(Refusal):
    """A body, value or batch is over its limit; `details` has the limit and the size, in bytes."""

    code = "too_large"
    number = 413
    usual_hint = "nothing was changed: send less at once, or keep it elsewhere and send where it is"


class RuleViolated(Refusal):
    """A rule of the domain forbids it; `details.rule` is the stable name of the rule."""

    code = "refused"
    number = 422

    def __init__(self, rule: str, message: str, *, hint: str, **details: Any) -> None:
        super().__init__(message, hint=hint, rule=rule, **details)


class SecretRejected(Refusal):
    """A value looks like a credential; `details.path` says where, and the value itself is never repeated."""

    code = "secret_rejected"
    number = 422
    usual_hint = "nothing was stored: refer to it, as in ${env:NAME}"


class Busy(Refusal):
    """The wait would be too long, or there is no room; `details.retry_after_ms` says when to try again."""

    code = "busy"
    number = 429
    usual_hint = "nothing was changed: try again after `retry_after_ms`"


class Unavailable(Refusal):
    """The store cannot take the command now (disk full, restoring, shutting down); nothing was stored."""

    code = "unavailable"
    number = 503
    usual_hint = "nothing was changed: try again, with the same command id"


class Behind(Refusal):
    """The answering store did not reach `Hyperpage-Min-Position` in time; `details` says where it is.

    `leads` says that no other store has more events: then the position is not of this log.
    """

    code = "behind"
    number = 503

    def __init__(self, *, timeline: int, position: int, leads: bool) -> None:
        super().__init__(
            f"the store that answers is at position {position}, and does not have what was asked for yet",
            hint="no store has more: leave the header out" if leads else "ask again",
            position=position,
            timeline=timeline,
            leads=leads,
        )


class Internal(Refusal):
    """A defect on this side; `details.incident` is the id under which it was logged."""

    code = "internal"
    number = 500
    usual_hint = (
        "tell whoever runs the service, whose log has more under this incident; a command that is sent again"
        " under its id is never carried out twice"
    )
