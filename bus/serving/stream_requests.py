"""Requests for messages of a stream, as far as a user may ask them."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from bus.serving.stream_scope import Scope
from hyperpage_client.contract.subjects import is_pattern
from hyperpage_client.transport.jetstream_answers import NO_MESSAGE

# Numbers of JetStream's own for what is not done.
NOT_ALLOWED = 10_137
UNAVAILABLE = 10_008
BAD_REQUEST = 10_025

_decode = msgspec.json.Decoder().decode


class ApiRefusal(Exception):
    """What is not done for a user, as JetStream would say it."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.body = msgspec.json.encode(
            {"error": {"code": code, "err_code": err_code, "description": description}}
        )


class MessageRequest(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What can be asked of a stream's messages; of `DIRECT.GET` alone the fields from `batch` on."""

    seq: int = 0
    last_by_subj: str = ""
    next_by_subj: str = ""
    start_time: str = ""
    no_hdr: bool = False
    batch: int = 0
    max_bytes: int = 0
    multi_last: tuple[str, ...] = ()
    up_to_seq: int = 0
    up_to_time: str = ""

    @property
    def subjects(self) -> tuple[str, ...]:
        return (*filter(None, (self.last_by_subj, self.next_by_subj)), *self.multi_last)

    @property
    def is_single(self) -> bool:
        """Whether one message answers it."""
        return not (self.batch or self.multi_last)

    def mapped(self, inside: Callable[[str], str]) -> "MessageRequest":
        """The same, with the subjects as they are in the stream."""
        return msgspec.structs.replace(
            self,
            last_by_subj=inside(self.last_by_subj),
            next_by_subj=inside(self.next_by_subj),
            multi_last=tuple(map(inside, self.multi_last)),
        )


def body_of(shape: type[Any], body: bytes) -> Any:
    """The decoded body of a request.

    Raises:
        ApiRefusal: it is none.
    """
    try:
        return msgspec.json.decode(body or b"{}", type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiRefusal(400, BAD_REQUEST, f"invalid JSON: {str(error)[:150]}") from None


def message_asked(body: bytes, scope: Scope, inside: Callable[[str], str]) -> bytes:
    """The body to ask JetStream for one message; its answer is still to be looked at (`shown_message`).

    Raises:
        ApiRefusal: it asks for what is not the user's.
    """
    return msgspec.json.encode(_asked(body, scope, inside))


def shown_message(answer: bytes, scope: Scope, as_known: Callable[[str], str]) -> bytes:
    """JetStream's answer with one message, as far as the user may see it."""
    said = _decode(answer)
    message = said.get("message")
    if message is None:
        return answer
    if not scope.admits(message["subject"]):
        return ApiRefusal(404, NO_MESSAGE, "no message found").body
    message["subject"] = as_known(message["subject"])
    return msgspec.json.encode(said)


def directly_asked(body: bytes, scope: Scope, inside: Callable[[str], str]) -> MessageRequest:
    """The request to make of JetStream; the answer is still to be looked at where it is a single message.

    Raises:
        ApiRefusal: it asks for what is not the user's.
    """
    request = _asked(body, scope, inside)
    # Several come to the user as they are. Without a subject, they would be whatever is at a sequence.
    if not request.is_single and not scope.is_whole and not request.subjects:
        raise ApiRefusal(403, NOT_ALLOWED, "messages of this stream are asked for by their subjects")
    return request


def _asked(body: bytes, scope: Scope, inside: Callable[[str], str]) -> MessageRequest:
    request: MessageRequest = body_of(MessageRequest, body).mapped(inside)
    require_admitted(request.subjects, scope)
    return request


def require_admitted(subjects: Sequence[str], scope: Scope) -> None:
    """Returns if a user may read these subjects of a stream.

    Raises:
        ApiRefusal: one is none, or not the user's.
    """
    if not all(map(is_pattern, subjects)):
        raise ApiRefusal(
            400, BAD_REQUEST, "a subject is short, without spaces, and with whole tokens as wildcards"
        )
    if not all(map(scope.admits, subjects)):
        raise ApiRefusal(403, NOT_ALLOWED, "these subjects are not for this user")
