"""Commands on their way into the writer, and their outcomes on the way out."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from bus.contract import codec
from bus.contract.rights import TOKENS
from bus.log import chain
from bus.log.answers import Answer
from bus.measures import UNKNOWN, Tally
from domain.credentials.scanning import Finding
from domain.decider import Decider, Notice, Verb
from domain.errors import Refusal
from domain.messages import Metadata


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One decoded command. `metadata` is the JSON for its events, if the sender gave any."""

    name: str
    decider: Decider
    verb: Verb
    command: Any
    command_id: str | None = None
    expected_version: int | None = None
    # The principal that owns the command id; `None` if the id is shared by all that have none of their own.
    owner: str | None = None
    # The prefixes of the keys that its sender may use; without any, it may use all.
    keys: tuple[str, ...] = ()
    metadata: str | None = None
    # The parts of its body that look like credentials. It is refused for them unless they are allowed.
    findings: tuple[Finding, ...] = ()

    @property
    def remembered_as(self) -> str | None:
        """The id under which its answer is remembered: the same id of two owners is two ids."""
        if self.command_id is None or self.owner is None:
            return self.command_id
        return f"{self.command_id}{codec.OWNED_BY}{self.owner}"

    @property
    def remembered_before_as(self) -> str | None:
        """The id under which tokens' answers were once remembered; `None` if no token sent the command."""
        is_tokens = self.owner is not None and self.owner.startswith(TOKENS)
        return self.command_id if is_tokens else None


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The outcome of a request: the bytes of its answer, and why it was refused, if it was."""

    body: bytes
    refusal: Refusal | None = None


class Submission(msgspec.Struct, kw_only=True, eq=False, gc=False):
    """One command, or a batch, that waits for the writer. It comes back with its outcome set.

    `context` belongs to the caller and comes back as it was. `sender` is the sender's name; `None` if that is
    the service itself, or unknown. If a submission that is `in_order` cannot be stored, all waiting ones that
    are `in_order` fail with it, so that none of them is decided first. The outcome of a message that was
    malformed as a whole is there from the start.
    """

    requests: list[Request | Refusal]
    size_bytes: int
    context: Any = None
    sender: str | None = None
    batch: bool = False
    atomic: bool = False
    in_order: bool = False
    outcome: Outcome | None = None


class GroupTimes(msgspec.Struct, frozen=True):
    """When a group was begun, decided with its rows written, in the cluster's log, and on disk.

    By `time.perf_counter`. Without replication, `replicated` is the same as `decided`.
    """

    began: float
    decided: float
    replicated: float
    committed: float


class Commit(msgspec.Struct, frozen=True):
    """The result of a group, announced once all that the group wrote, if anything, is on disk."""

    submissions: list[Submission]
    rows: list[chain.Row]
    notices: list[Notice]
    answers: list[Answer]
    """Those to remember."""
    let_through: Sequence[Request] = ()
    """Those that were stored in spite of what looks like a credential in them."""
    times: GroupTimes | None = None
    """`None` where nothing was committed, or several groups are told as one."""
    leases: Collection[str] = ()
    """The jobs whose leases changed."""


def all_refused(submissions: list[Submission], refusal: Refusal) -> Commit:
    """The result of a group whose commands are all refused."""
    refuse(submissions, refusal)
    return Commit(submissions, [], [], [])


def refuse(submissions: Iterable[Submission], refusal: Refusal) -> None:
    """Gives all of the submissions this refusal as their outcome."""
    outcome = refused(refusal)
    for one in submissions:
        one.outcome = outcome


def correlation_id_in(metadata: str | None) -> str | None:
    """The correlation id in the metadata of a command, if there is one."""
    return None if metadata is None else msgspec.json.decode(metadata, type=Metadata).correlation_id


def count_refused(tally: Tally, submissions: Iterable[Submission], code: str) -> None:
    """Counts commands that were refused together, for a reason that lies in none of them."""
    for one in submissions:
        for request in one.requests:
            tally.add(request.name if isinstance(request, Request) else UNKNOWN, code)


def joined(commits: list[Commit]) -> Commit:
    """The results of several groups as one."""
    return Commit(
        [one for commit in commits for one in commit.submissions],
        [row for commit in commits for row in commit.rows],
        [notice for commit in commits for notice in commit.notices],
        [answer for commit in commits for answer in commit.answers],
        [request for commit in commits for request in commit.let_through],
        leases={job_id for commit in commits for job_id in commit.leases},
    )


def refused(refusal: Refusal) -> Outcome:
    """The outcome of a request that is refused."""
    return Outcome(codec.error_body(refusal), refusal)
