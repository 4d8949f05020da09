"""The members of a cluster: what each tells of itself every second, and which of them are live.

    Membership.join ─▶ told under `member.<name>` ── every second ──▶ leave
                            │ kept for 3 s
    live_members ◀──────────┘

Each name belongs to one process. A process that finds another one under its name waits. If the other one
tells of itself once more, the name is taken. Otherwise the other one has crashed, and the name is free.

Ages are by the broker's clock. Members tell the time of their own clocks, too, but nothing is decided by it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated

import msgspec

from bus.contract import codec
from bus.replication.cluster_bucket import ClusterBucket, ClusterError, Entry, OthersEntryError
from bus.replication.frame import FIRST_FORMAT, FORMAT
from bus.transport.jetstream import JetStreamError, WrongSequenceError
from domain.counting import counted
from hyperpage_client.contract.subjects import escape
from hyperpage_client.documents import decoded

TELL_SECONDS = 1.0
# How long the bucket keeps what a member told, unless it tells it again.
LIVE_SECONDS = 3
# How long a member waits for the name of a process that crashed: until no member can take that for live.
FREE_AFTER_SECONDS = 2.0 * LIVE_SECONDS
# How long frames keep the form that an older member reads after that was last seen.
OLDER_FORM_SECONDS = 60.0
_LOOK_SECONDS = 0.2
_TIMEOUT_MS = 900
_KEYS = "member."

logger = logging.getLogger(__name__)


class NameTakenError(ClusterError):
    """Another live process is the member of that name."""


class NoSuccessorError(ClusterError):
    """The member that was named cannot lead next."""


class Role(StrEnum):
    """The role of a member: it leads, may lead, or never leads."""

    LEADER = "leader"
    MEMBER = "member"
    FOLLOWER = "follower"


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A member's report on itself. `instance` tells processes of one name apart.

    Its file ends at `position`, with that `hash` (in hex). `version` is that of the program, `address` that
    of its HTTP API, `time_ms` the time on its clock, in milliseconds since the epoch. A member `could_lead`
    if its file agrees with the log, as far as it knows, and its writer is not stuck. Of a leader whose log
    trails, `log_lag_events` are answered and not in the log yet, the oldest for `log_lag_seconds`. The member
    reads frames up to the format `reads`.
    """

    name: str
    instance: str
    role: Role
    position: int
    hash: str
    version: str
    address: str
    time_ms: int
    # Members of older versions do not tell this and the rest.
    could_lead: bool = True
    log_lag_events: int | None = None
    log_lag_seconds: float | None = None
    reads: int = FIRST_FORMAT

    @property
    def is_candidate(self) -> bool:
        """Whether a leader may leave the lease to this member."""
        return self.could_lead and self.role is not Role.FOLLOWER


class LiveMember(msgspec.Struct, frozen=True, kw_only=True):
    """A member's report, and its age; `clock_ahead_ms` is how far its clock is ahead of the broker's."""

    member: Member
    age_ms: int
    clock_ahead_ms: int


class CommonForm:
    """The newest form of frames that all members read; any thread may ask for `form`.

    It is the first form until members were seen. It gets newer only when all members of the last minute read
    the newer one: a member that is started again is away for a moment.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # By older form, when a member was last seen that reads no newer one; at first, the start.
        self._read_at = dict.fromkeys(range(FIRST_FORMAT, FORMAT), clock())
        self.form = FIRST_FORMAT

    def note(self, members: Sequence[LiveMember]) -> None:
        """Takes in the members that are live now."""
        now = self._clock()
        reads = min((one.member.reads for one in members), default=FIRST_FORMAT)
        if reads < FORMAT:
            self._read_at[reads] = now
        recent = [form for form, at in self._read_at.items() if now - at < OLDER_FORM_SECONDS]
        self.form = min(recent, default=FORMAT)


class HandOver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`to` is the name of the member that is to lead; without one, the one with the most events is."""

    to: Annotated[str, msgspec.Meta(max_length=200)] = ""


_decode = msgspec.json.Decoder(Member).decode


async def live_members(bucket: ClusterBucket) -> list[LiveMember]:
    """The members that have told of themselves within the last `LIVE_SECONDS`, by name.

    Raises:
        JetStreamError: the bucket does not answer.
    """
    entries, now = await bucket.entries(f"{_KEYS}*")
    found = []
    for entry in entries:
        member = _member_in(entry)
        if member is not None and now is not None and entry.stored_at is not None:
            age_ms = max(0, int((now - entry.stored_at).total_seconds() * 1000))
            ahead_ms = member.time_ms - int(entry.stored_at.timestamp() * 1000)
            found.append(LiveMember(member=member, age_ms=age_ms, clock_ahead_ms=ahead_ms))
    return sorted(found, key=lambda one: one.member.name)


def require_successor(others: Sequence[LiveMember], name: str, *, position: int, most_behind: int) -> Member:
    """The live member of that name, if it may lead and is near a position; without a name, the nearest one.

    Raises:
        NoSuccessorError: there is none, it only follows, it could not lead, or it lacks more than
            `most_behind` events.
    """
    if not name:
        may_lead = [one.member for one in others if one.member.is_candidate]
        if not may_lead:
            raise NoSuccessorError("no other live member may lead", "start one")
        name = max(may_lead, key=lambda one: one.position).name
    found = next((one.member for one in others if one.member.name == name), None)
    if found is None:
        live = ", ".join(one.member.name for one in others) or "nobody"
        raise NoSuccessorError(
            f"there is no live member {name}", f"beside the leader, these are live: {live}"
        )
    if found.role is Role.FOLLOWER:
        raise NoSuccessorError(f"{name} is a follower, which never leads", "name one with the role member")
    if not found.could_lead:
        raise NoSuccessorError(
            f"{name} could not lead as it is",
            f"`hyperpage status` of {name} says why; or name another one",
        )
    if position - found.position > most_behind:
        raise NoSuccessorError(
            f"{name} is at position {found.position}, {counted(position - found.position, 'event')} behind",
            "wait until it has caught up, or name another one",
        )
    return found


class Membership:
    """The membership of one process. `describe` answers with how it is, and is called in the event loop."""

    def __init__(
        self,
        bucket: ClusterBucket,
        describe: Callable[[], Member],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bucket = bucket
        self._describe = describe
        self._clock = clock
        first = describe()
        self._name, self._instance = first.name, first.instance
        self._key = _KEYS + escape(first.name)
        self._sequence: int | None = None
        self._telling = asyncio.Lock()

    async def join(self) -> None:
        """Makes the process a member.

        Raises:
            NameTakenError: another live process has the name. JetStreamError: the bucket does not answer.
        """
        expected = (await self._free()).sequence
        async with self._telling:
            try:
                self._sequence = await self._bucket.put(
                    self._key,
                    codec.encode(self._describe()),
                    expected=expected,
                    lives_seconds=LIVE_SECONDS,
                    timeout_ms=_TIMEOUT_MS,
                )
            except WrongSequenceError:
                raise self._taken() from None

    async def run(self) -> None:
        """Tells of the process every second, until it is cancelled; it must have joined.

        Raises:
            NameTakenError: another process took the name while this one could not tell of itself.
        """
        while True:
            await asyncio.sleep(TELL_SECONDS)
            try:
                await self.tell()
            except JetStreamError as error:
                logger.debug("the cluster was not told of this member: %s", error)

    async def tell(self) -> None:
        """Tells how the process is now, for example when its role has changed.

        Raises:
            NameTakenError: as `run`. JetStreamError: the bucket does not answer.
        """
        async with self._telling:
            if self._sequence is None:
                return
            try:
                self._sequence = await self._bucket.put_over_own(
                    self._key,
                    codec.encode(self._describe()),
                    expected=self._sequence,
                    is_own=lambda entry: not self._is_others(entry),
                    lives_seconds=LIVE_SECONDS,
                    timeout_ms=_TIMEOUT_MS,
                )
            except OthersEntryError:
                self._sequence = None
                raise self._taken() from None

    async def leave(self) -> None:
        """Ends the entry of the process. If that cannot be told, the entry ends by itself."""
        async with self._telling:
            if self._sequence is None:
                return
            expected, self._sequence = self._sequence, None
            try:
                await self._bucket.end(self._key, expected=expected, timeout_ms=_TIMEOUT_MS)
            except JetStreamError as error:
                logger.debug("the cluster was not told that this member leaves: %s", error)

    async def _free(self) -> Entry:
        """The last entry under the name, once no other live process has it."""
        first = entry = await self._bucket.last(self._key)
        until = self._clock() + FREE_AFTER_SECONDS
        while self._is_others(entry) and self._clock() < until:
            if entry.sequence != first.sequence:
                raise self._taken()
            await asyncio.sleep(_LOOK_SECONDS)
            entry = await self._bucket.last(self._key)
        return entry

    def _is_others(self, entry: Entry) -> bool:
        member = _member_in(entry)
        return member is not None and member.instance != self._instance

    def _taken(self) -> NameTakenError:
        return NameTakenError(
            f"another live process is the member {self._name}",
            "give each member a name of its own; if this is a copy of its machine, its data directory may be"
            " a copy, too, and is better begun anew",
        )


def _member_in(entry: Entry) -> Member | None:
    try:
        return decoded(_decode, entry.value) if entry.value else None
    except msgspec.DecodeError:
        logger.warning("message %d of the cluster's bucket tells of no member", entry.sequence)
        return None
