"""Users' requests for messages of a stream, and the checks that they ask only for what the user may read."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from bus.serving.stream_scope import Scope
from hyperpage_client.contract.subjects import is_pattern
from hyperpage_client.transport.jetstream_answers import NO_MESSAGE

# Error codes of JetStream.
NOT_ALLOWED = 10_137
UNAVAILABLE = 10_008
BAD_REQUEST = 10_025

_decode = msgspec.json.Decoder().decode


class ApiRefusal(Exception):
    """The refusal of a user's request, in the form of JetStream's errors."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.body = msgspec.json.encode(
            {"error": {"code": code, "err_code": err_code, "description": description}}
        )


class MessageRequest(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A request for messages of a stream. The fields from `batch` on are for `DIRECT.GET` alone."""

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
        """Whether the answer is a single message."""
        return not (self.batch or self.multi_last)

    def mapped(self, inside: Callable[[str], str]) -> "MessageRequest":
        """The same request, with the subjects as they are in the stream."""
        return msgspec.structs.replace(
            self,
            last_by_subj=inside(self.last_by_subj),
            next_by_subj=inside(self.next_by_subj),
            multi_last=tuple(map(inside, self.multi_last)),
        )


def body_of(shape: type[Any], body: bytes) -> Any:
    """The decoded body of a request.

    Raises:
        ApiRefusal: the body is not valid JSON of that shape.
    """
    try:
        return msgspec.json.decode(body or b"{}", type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiRefusal(400, BAD_REQUEST, f"invalid JSON: {str(error)[:150]}") from None


def message_asked(body: bytes, scope: Scope, inside: Callable[[str], str]) -> bytes:
    """The body of a request to JetStream for one message. The answer has to go through `shown_message`.

    Raises:
        ApiRefusal: the user asks for subjects that it may not read.
    """
    return msgspec.json.encode(_asked(body, scope, inside))


def shown_message(answer: bytes, scope: Scope, as_known: Callable[[str], str]) -> bytes:
    """JetStream's answer with one message; an error in its place if the user may not see the message."""
    said = _decode(answer)
    message = said.get("message")
    if message is None:
        return answer
    if not scope.admits(message["subject"]):
        return ApiRefusal(404, NO_MESSAGE, "no message found").body
    message["subject"] = as_known(message["subject"])
    return msgspec.json.encode(said)


def directly_asked(body: bytes, scope: Scope, inside: Callable[[str], str]) -> MessageRequest:
    """The request to send to JetStream. If it asks for a single message, the answer has to be checked, too.

    Raises:
        ApiRefusal: the user asks for subjects that it may not read.
    """
    request = _asked(body, scope, inside)
    # Several messages go to the user unchecked. Without a subject, they would be all that follow a sequence.
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
        ApiRefusal: one is not a valid subject, or not the user's.
    """
    if not all(map(is_pattern, subjects)):
        raise ApiRefusal(
            400, BAD_REQUEST, "a subject is short, without spaces, and with whole tokens as wildcards"
        )
    if not all(map(scope.admits, subjects)):
        raise ApiRefusal(403, NOT_ALLOWED, "these subjects are not for this user")
