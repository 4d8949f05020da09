"""Requests for messages of a stream, as far as a user may ask them."""

from collections.abc import Callable
from typing import Any

import msgspec

from bus.serving.stream_scope import Scope
from bus.transport.jetstream_answers import NO_MESSAGE

# Numbers of JetStream's own for what is not done.
NOT_ALLOWED = 10_137
UNAVAILABLE = 10_008
BAD_REQUEST = 10_025

_decode = msgspec.json.Decoder().decode


class ApiRefusal(Exception):
    """What is not done for a user, as JetStream would say it."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(description)
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
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiRefusal(400, BAD_REQUEST, f"invalid JSON: {str(error)[:150]}") from None


def message_asked(body: bytes, scope: Scope, inside: Callable[[str], str]) -> bytes:
    """The body to ask JetStream for one message; its answer is still to be looked at (`shown_message`).

    Raises:
        ApiRefusal: it asks for what is not the user's.
    """
    request: MessageRequest = body_of(MessageRequest, body).mapped(inside)
    if not all(map(scope.admits, request.subjects)):
        raise ApiRefusal(403, NOT_ALLOWED, "these subjects are not for this user")
    return msgspec.json.encode(request)


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


def directly_asked(body: bytes, scope: Scope, inside: Callable[[str], str]) -> MessageRequest | None:
    """The request to make of JetStream for messages that the user gets as they are; `None` if it may not."""
    try:
        request: MessageRequest = body_of(MessageRequest, body).mapped(inside)
    except ApiRefusal:
        return None
    # Without a subject, it would be whatever is at a sequence.
    is_admitted = all(map(scope.admits, request.subjects)) and (scope.is_whole or request.subjects)
    return request if is_admitted else None
