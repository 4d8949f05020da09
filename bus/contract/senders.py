"""The sender of a request, as its subject tells it if each user has an account of its own at the broker.

    account of billing                          accounts of the service
    hyperpage.cmd.v1.jobs.enqueue        ──▶    hyperpage.usr.billing.cmd.v1.jobs.enqueue
    hyperpage.dcmd.v1.jobs.enqueue       ──▶    hyperpage.usr.billing.dcmd.v1.jobs.enqueue
    $SRV.PING                            ──▶    hyperpage.usr.billing.srv.PING
    $JS.API.STREAM.NAMES                 ──▶    hyperpage.usr.billing.js.STREAM.NAMES
    _INBOX.….1                           ◀──    hyperpage_to.billing._INBOX.….1
    hyperpage.res.v1.<command id>        ◀──    hyperpage.usr.billing.res.v1.<command id>

The broker maps the subjects (`bus.broker.accounts`), so a user cannot pretend to be another: it reaches only
the left side, and only the service is on the right one. In an account that all users share, nothing is
mapped, and the sender of a message is unknown.
"""

import re
from functools import lru_cache

import msgspec

from hyperpage_client.contract.subjects import BusNames, is_literal

# The user of every client, until an operator makes it a user of its own; the user in runtime.json.
APP = "app"
# The operator; the user in admin.json.
ADMIN = "admin"

# nats-server accepts control lines of 4 KiB, and closes a connection that publishes with a longer one.
MAXIMUM_INBOX_BYTES = 4_096 - len("HPUB  1234567 1234567\r\n")

USER_PATTERN = r"[a-z0-9_-]{1,64}"
_UNVERSIONED = ("js", "srv")
_USER = re.compile(USER_PATTERN)


class Sender(msgspec.Struct, frozen=True, gc=False):
    """The sender of a request, what it asks for, and the subject on which its answer reaches it.

    `user` is `None` where the broker does not tell.
    """

    user: str | None
    name: str
    reply: str


def is_user_name(name: str) -> bool:
    """Whether `name` may be the name of a user: one token of a subject, in lower case."""
    return _USER.fullmatch(name) is not None


def private_inbox(user: str) -> str:
    """The prefix of inboxes that only this user may read, if others share its account (no dot at the end)."""
    return f"_INBOX_{user}"


class UserSubjects:
    """Translates between the subjects that users know and those on the service's side.

    `are_told` says that the broker has an account for each user. If it has not, any user can publish on the
    subjects of the service's side, so the service does not subscribe to them.
    """

    def __init__(self, names: BusNames, *, are_told: bool = True) -> None:
        self.names = names
        self._are_told = are_told
        self._own = f"{names.prefix}."
        self._of_users = f"{names.prefix}.usr."
        self._to_users = f"{names.prefix}_to."
        # Cached, since most requests come on few subjects.
        self._way = lru_cache(maxsize=1_024)(self._way_of)

    def sent(self, user: str, subject: str) -> str:
        """The subject on which a user's message to `subject` arrives; `*` stands for any user."""
        if subject.startswith("$SRV."):
            rest = f"srv.{subject.removeprefix('$SRV.')}"
        elif subject.startswith("$JS.API."):
            rest = f"js.{subject.removeprefix('$JS.API.')}"
        else:
            rest = subject.removeprefix(self._own)
        return f"{self._of_users}{user}.{rest}"

    def both(self, subject: str) -> tuple[str, str]:
        """`subject`, and the subject on which users' messages to it arrive."""
        return subject, self.sent("*", subject)

    def arrivals(self, subject: str) -> tuple[str, ...]:
        """The subjects on which messages to `subject` arrive."""
        return self.both(subject) if self._are_told else (subject,)

    def as_known(self, subject: str) -> str:
        """The subject as the user knows it: the reverse of `sent`; any other subject stays as it is."""
        if not subject.startswith(self._of_users):
            return subject
        return self._own + subject[len(self._of_users) :].partition(".")[2]

    def to(self, user: str, inbox: str) -> str:
        """The subject by which the service reaches a user's inbox."""
        return f"{self._to_users}{user}.{inbox}"

    def inbox_behind(self, subject: str, answered_on: str) -> str:
        """The inbox as its user knows it: the reverse of `to`. `subject` is where the request arrived."""
        if not subject.startswith(self._of_users):
            return answered_on
        return answered_on.removeprefix(self._way(subject)[3])

    def is_answered_on(self, subject: str) -> bool:
        """Whether an answer to a request may be published on a subject."""
        return subject.startswith(self._to_users if self._are_told else self.names.inbox_prefix)

    def user_of(self, subject: str) -> str | None:
        """The user that sent a message on `subject`; `None` where the broker does not tell it.

        A message that was stored before users had accounts counts as the application's.
        """
        if not subject.startswith(self._of_users):
            return APP if self._are_told else None
        return subject[len(self._of_users) :].partition(".")[0]

    def inboxes(self, user: str) -> tuple[str, str]:
        """The prefixes of a user's inboxes, each with a dot at its end."""
        return self.names.inbox_prefix, f"{private_inbox(user)}."

    def is_named_inbox(self, user: str | None, reply: str) -> bool:
        """Whether an answer to a user may go to the subject that a header names; see `BusNames`."""
        if user is None:
            return self.names.is_named_inbox(reply)
        return reply.startswith(self.inboxes(user)) and is_literal(reply)

    def sender(self, subject: str, reply: str, *, is_operators: bool = False) -> Sender | None:
        """The sender of a request; `None` if its reply subject is not an inbox of the sender.

        `is_operators` says that only an operator may send such a request.
        """
        if not subject.startswith(self._of_users):
            names = self.names
            if not (names.is_operators_inbox(reply) if is_operators else names.is_inbox(reply)):
                return None
            return Sender(None, names.name_in(subject), reply)
        user, name, inboxes, to_user = self._way(subject)
        inbox = to_user + reply
        if not reply.startswith(inboxes) or len(inbox.encode()) > MAXIMUM_INBOX_BYTES:
            return None
        return Sender(user, name, inbox)

    def _way_of(self, subject: str) -> tuple[str, str, tuple[str, str], str]:
        """The user that sends on a subject, the name of the request, the user's inboxes, and their prefix."""
        user, _, rest = subject[len(self._of_users) :].partition(".")
        kind, _, name = rest.partition(".")
        # `js.STREAM.NAMES`, and `cmd.v1.jobs.enqueue`.
        name = name if kind in _UNVERSIONED else name.partition(".")[2]
        return user, name, self.inboxes(user), self.to(user, "")
