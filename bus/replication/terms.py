"""`take_term`: a new leader begins its *term* in the log. From then on, earlier leaders store nothing there.

    everything in the log applied ──▶ what it lacks is put back ──▶ [a timeline is begun] ──▶ term

A leader whose log trails may have answered commands that it has not sent yet. If it did not send its last
frame, a successor without its file cannot know them. So the successor begins a timeline, as a restore does:
from there on, positions may be those of other events, and clients do not take these for the ones answered
before. A log that was deleted and made again does not say whether it trailed: a timeline begins then if
others were told of a later position.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256

import msgspec

from bus.replication.applying import Applier
from bus.replication.following import catch_up
from bus.replication.frame import FORMAT, Frame, messages_of
from bus.replication.lease import LeaseLostError
from bus.replication.log_stream import EarlierTimelineError, LogEnd, LogStream, LogStreamError, Tail
from bus.replication.putting_back import fork_of, frames_lacking, term_of
from bus.transport.jetstream import JetStreamError
from domain.catalogue import TimelineForked
from hyperpage_client.tasks import to_its_end

PAUSE_SECONDS = 0.5
TAKE_SECONDS = 30.0

logger = logging.getLogger(__name__)


class Term(msgspec.Struct, frozen=True):
    """The term of a leader: its number, the message that began it, and the log's identity.

    `made_at` is the sequence that the log was made with.
    """

    number: int
    tail: Tail
    store_id: str
    timeline: int
    made_at: int = 0


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """The store's last position and highest timeline, as subscribers and members were told of them."""

    position: int = 0
    timeline: int = 0


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The member that takes a term, and how: all that `take_term` needs to know of the one that is to lead.

    `may_lead` is asked right before each step that takes the log from other leaders. `trails` says whether
    the log does in this term. `has_all` says whether the file has all that the leader which wrote the end of
    a log has answered, as that leader's own file has. `form` is the form of the frames.
    """

    name: str
    form: int = FORMAT
    may_lead: Callable[[], bool] = lambda: True
    trails: bool = False
    has_all: Callable[[LogEnd], bool] = lambda end: False
    told: Callable[[], Awaitable[Told]] | None = None

    async def others(self) -> Told:
        """The position and timeline that subscribers and members were told of, as far as they are known."""
        return Told() if self.told is None else await self.told()

    def require(self) -> None:
        if not self.may_lead():
            raise LeaseLostError("the lease was lost before a term was taken")


async def take_term(log: LogStream, applier: Applier, claim: Claim) -> Term:
    """Begins a term, with everything in the log applied: from here on, earlier leaders store nothing.

    What the file has and the log lacks at its end is put back first: a broker may lose messages that it has
    stored, and a log that trails may lack what this member answered. If the file was restored since, it gets
    a new log: that of the timeline before is deleted.

    Raises:
        LeaseLostError: the member may not lead any more.
        LogStreamError, FrameError: the log is not this file's, or cannot be read.
        JetStreamError: the broker refuses, or does not answer, for 30 s.
    """
    until = time.monotonic() + TAKE_SECONDS
    attempt = _Attempt()
    while True:
        try:
            try:
                end = await catch_up(log, applier)
            except EarlierTimelineError as error:
                logger.warning(
                    "%s: the log is begun anew at position %d", error.problem, applier.head.position
                )
                claim.require()
                await log.begin_anew(timeline=applier.origin.timeline, position=applier.head.position)
                continue
            if end.place is None and applier.head.position < end.begins:
                raise LogStreamError(
                    f"the log was made to go on behind position {end.begins}, and this file ends at"
                    f" {applier.head.position}",
                    "another member has more, and is to lead",
                )
            return await _taken(log, applier, claim, end, attempt)
        except JetStreamError:
            # This is tried again, too, if another leader was quicker, or if it is unknown what was stored.
            if time.monotonic() > until:
                raise
        await asyncio.sleep(PAUSE_SECONDS)


class _Attempt:
    """The frames sent so far, stored or not, and whether the leader before may have answered more."""

    def __init__(self) -> None:
        self._sent: set[bytes] = set()
        self._may_lack = False

    async def append(self, log: LogStream, claim: Claim, frame: Frame, tail: Tail) -> Tail:
        """The new end of the log, with a frame stored after `tail`."""
        for body in messages_of(frame, form=claim.form):
            claim.require()
            self._sent.add(sha256(body).digest())
            tail = await log.append(body, tail)
        return tail

    def may_lack(self, claim: Claim, end: LogEnd, last: Frame | None) -> bool:
        """Whether the leader that wrote the end of the log may have answered more than the file has."""
        if last is None or not last.trails or end.message is None:
            return False
        # If this member has put back the end of the log, that says nothing of the leader before.
        if sha256(end.message.payload).digest() not in self._sent:
            self._may_lack = not claim.has_all(end)
        return self._may_lack


async def _taken(log: LogStream, applier: Applier, claim: Claim, end: LogEnd, attempt: _Attempt) -> Term:
    number, tail, told = 1, end.tail, Told()
    if end.place is None:
        # Others may have been told of more than a restored file has: its timeline says so already.
        if not applier.history.ends_restored(applier.head):
            told = await claim.others()
        may_lack = told.position > applier.head.position
    else:
        number, last = end.place.term + 1, await log.last_frame(end)
        may_lack = attempt.may_lack(claim, end, last)
        # If the log trailed, these frames do, too: a leader that comes before all are there must know that.
        trailed = last is not None and last.trails
        frames = frames_lacking(applier, end.position, number, trails=trailed)
        is_whole = True
        while (frame := await to_its_end(partial(next, frames, None))) is not None:
            tail, is_whole = await attempt.append(log, claim, frame, tail), False
        if not is_whole:
            logger.warning(
                "the log lacked its end: it was at position %d, and is at %d again",
                *(end.position, applier.head.position),
            )
        if may_lack:
            told = await claim.others()
    if may_lack:
        frame = await _fork(applier, claim.name, told, number)
        tail = await attempt.append(log, claim, frame, tail)
        await to_its_end(partial(applier.apply, [frame]))
    term = await to_its_end(partial(term_of, applier, number, claim.name, trails=claim.trails))
    tail = await attempt.append(log, claim, term, tail)
    return Term(number, tail, applier.origin.store_id, applier.origin.timeline, end.made_at)


async def _fork(applier: Applier, leader: str, told: Told, number: int) -> Frame:
    head = applier.head
    event = TimelineForked(
        timeline=1 + max(applier.origin.timeline, told.timeline),
        restored_position=head.position,
        leader=leader,
        missing_events=max(0, told.position - head.position),
    )
    known = f"at least {event.missing_events}" if event.missing_events else "none that anybody was told of"
    logger.warning(
        "the leader before term %d may have answered more than the log has, which ends at position %d (%s);"
        " timeline %d begins behind that",
        *(number, head.position, known, event.timeline),
    )
    return await to_its_end(partial(fork_of, applier, number, event, time.time_ns() // 1_000_000))
