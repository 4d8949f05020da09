"""The leader's door: subjects by which members pass requests on that only the leader may answer.

    sender ──▶ a member ──▶ <prefix>.led.v1.<where it arrived> ──▶ the leader ──▶ the sender's inbox
                    ▲                      │
                    └───── no leader ◀─────┘

The reply subject of a request that is passed on is the member's own inbox, followed by the subject on which
the answer reaches the sender. If there is no leader, the broker's message about that comes to the member,
which answers the sender, and need not remember the requests it has passed on. Only services of the prefix may
publish to the door, since the rest of its subject says who sent the request.
"""

from collections.abc import Callable, Mapping

from bus.contract import codec
from bus.contract.senders import MAXIMUM_INBOX_BYTES, Sender, UserSubjects
from bus.serving.decoding import require_readable
from domain.errors import Refusal, TooLarge, Unavailable
from hyperpage_client.transport.connection import LeanClient
from hyperpage_client.transport.protocol import RepeatedHeaders
from hyperpage_client.transport.sending import RawMessage

RETRY_AFTER_MS = 250


class LeaderDoor:
    """Both sides of the door, on one connection and in its loop; `send` publishes a message there."""

    def __init__(
        self, connection: LeanClient, subjects: UserSubjects, send: Callable[[RawMessage], None]
    ) -> None:
        self._connection = connection
        self._subjects = subjects
        self._send = send
        self._door = subjects.names.led("")
        # The inboxes of all members have the same number of tokens.
        self._inbox = f"{connection.new_inbox()}."
        self._tokens = self._inbox.count(".")

    async def start(self) -> None:
        """Answers requests from now on that were passed on and found no leader."""
        await self._connection.subscribe_direct(f"{self._inbox}>", handler=self._hear)

    def arrivals(self, subject: str) -> tuple[str, ...]:
        """The subjects on which the leader gets requests to `subject` that were passed on."""
        return tuple(map(self._subjects.names.led, self._subjects.arrivals(subject)))

    def came_to(self, subject: str, reply: str) -> tuple[str, str]:
        """The subject and the inbox that a request had when it came to the member that passed it on."""
        subject = subject.removeprefix(self._door)
        return subject, self._subjects.inbox_behind(subject, reply.split(".", self._tokens)[-1])

    def passed_on(
        self, subject: str, sender: Sender, headers: Mapping[str, str] | None, body: bytes
    ) -> RawMessage:
        """The message that takes a request to the leader; if it cannot go there, a refusal to the sender."""
        to, reply = self._subjects.names.led(subject), self._inbox + sender.reply
        try:
            if headers:
                require_readable(headers)
                headers = RepeatedHeaders(headers)
                self._require_room(len(body) + len(headers.block), self._connection.max_payload)
            self._require_room(len(f"{to} {reply}".encode()), MAXIMUM_INBOX_BYTES)
        except Refusal as refusal:
            return _refused(sender.reply, refusal)
        return to, reply, body, headers

    def _require_room(self, size_bytes: int, limit_bytes: int) -> None:
        # The broker closes a connection that publishes more.
        if size_bytes > limit_bytes:
            raise TooLarge(
                "the request does not fit into a message to the leader",
                limit_bytes=limit_bytes,
                size_bytes=size_bytes,
            )

    def _hear(self, subject: str, _: str, headers: Mapping[str, str] | None, __: bytes) -> None:
        to = subject.removeprefix(self._inbox)
        # Without accounts, any client may have sent this, and named a subject that must not be published to.
        if headers and headers.get("Status") == "503" and self._subjects.is_answered_on(to):
            self._send(_refused(to, nobody_leads()))


def nobody_leads() -> Unavailable:
    """The refusal when no member leads, or none is known to lead."""
    return Unavailable("nobody leads at the moment", hint="ask again", retry_after_ms=RETRY_AFTER_MS)


def _refused(reply: str, refusal: Refusal) -> RawMessage:
    return reply, "", codec.error_body(refusal), codec.error_headers(refusal)
