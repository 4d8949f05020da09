"""`Admission`: finds the sender of a request and its rights, and tells the audit log what was refused.

The audit log gets the name of the request, and the user as the broker or a token names it; never a body.
"""

from collections.abc import Callable, Mapping
from typing import Literal

from bus.contract.rights import Principal, Rights
from bus.contract.senders import Sender, UserSubjects
from bus.serving.audit import Act, Actor, summary
from bus.writing.submission import Submission
from domain.errors import Forbidden

Way = Literal["nats", "http"]


class Admission:
    """Used by the threads of the event loop, the writer and the queries; so are `principal_of` and `note`.

    `principal_of` returns a user with its rights, `None` if there is no user of that name. `note` gets each
    refused act; `now_ms` is the service's clock. `away` are the tables whose packages are not installed:
    their commands and queries are refused.
    """

    def __init__(
        self,
        subjects: UserSubjects,
        principal_of: Callable[[str | None], Principal | None],
        note: Callable[[Act], None] = lambda act: None,
        now_ms: Callable[[], int] = lambda: 0,
        away: frozenset[str] = frozenset(),
    ) -> None:
        self._subjects = subjects
        self.principal_of = principal_of
        self._note = note
        self._now_ms = now_ms
        self.away = away

    def find(self, subject: str, reply: str) -> tuple[Sender, Principal] | None:
        """The sender of a request, with its rights; `None` for a request to drop, which is noted."""
        sender = self._subjects.sender(subject, reply)
        principal = None if sender is None else self.principal_of(sender.user)
        if sender is None or principal is None:
            self.dropped(subject, "unknown_inbox" if sender is None else "unknown_user")
            return None
        return sender, principal

    def known(self, user: str | None) -> Principal:
        """The rights of a user. A user that was deleted while its commands waited has none."""
        return self.principal_of(user) or Principal(name=user, rights=Rights())

    def dropped(self, subject: str, code: str) -> None:
        """Notes a request that is dropped without an answer; `code` says why."""
        said = {"subject": self._subjects.as_known(subject)}
        self._tell(self._subjects.user_of(subject), "request.send", said, "nats", code)

    def refused(self, principal: Principal, name: str, submission: Submission, way: Way = "nats") -> None:
        """Notes the commands in a submission that the principal may not send."""
        forbidden = sum(isinstance(one, Forbidden) for one in submission.requests)
        if forbidden:
            said = {"name": name, **({"commands": forbidden} if submission.batch else {})}
            self._tell(principal.name, "command.send", said, way)

    def may_not(self, principal: Principal, action: str, name: str, way: Way = "nats") -> None:
        """Notes a request that the principal may not send."""
        self._tell(principal.name, action, {"name": name}, way)

    def _tell(
        self, user: str | None, action: str, said: Mapping[str, object], way: Way, code: str = Forbidden.code
    ) -> None:
        self._note(
            Act(
                at=self._now_ms(),
                actor=Actor(name=user or "unknown", via=way, principal=user),
                action=action,
                request=summary(said),
                outcome="refused",
                code=code,
            )
        )
