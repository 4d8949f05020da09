"""`Group`: decides one group of commands, and writes what they led to."""

import logging
import re

import apsw
import msgspec

from bus.contract import codec
from bus.contract.codec import MAXIMUM_ANSWER_BYTES
from bus.contract.names import tell_schema
from bus.contract.rights import TOKENS
from bus.incident import internal
from bus.log import chain
from bus.log.answers import Answer, Answers
from bus.measures import UNKNOWN, Tally
from bus.writing.aggregates import Aggregates
from bus.writing.content import Content, write
from bus.writing.group_context import GroupContext, Projections
from bus.writing.submission import Outcome, Request, Submission, correlation_id_in, refused
from domain.catalogue import OTHERS, TABLE_OF, encode_event
from domain.credentials.scanning import AllowedPaths
from domain.decider import ABSENT, Aggregate, Decision, Notice
from domain.errors import CommandIdReused, Invalid, Refusal, TooLarge, VersionConflict
from domain.finite import OF_EVENTS, may_be_unbounded, require_finite
from domain.json_schema import Budget
from domain.messages import KEY_PATTERN, KEY_RULES, Recorded, stream_name
from hyperpage_client.contract.commands import CommandAnswer
from hyperpage_client.contract.headers import EXPECTED_VERSION

# The room kept for each answer of a batch, without its result. A thousand of them leave room for claims.
_ENVELOPE_IN_BATCH_BYTES = 512

# The limits of a decision by an installed aggregate (`OTHERS`): each of its events becomes a message.
MAXIMUM_EVENTS = 1_000
MAXIMUM_EVENT_BYTES = 512 * 1024

_KEY = re.compile(KEY_PATTERN)

logger = logging.getLogger(__name__)


class Group(GroupContext):
    """One group in the making, and the context of the decisions in it."""

    def __init__(
        self,
        aggregates: Aggregates,
        projections: Projections,
        connection: apsw.Connection,
        answers: Answers,
        head: chain.Head,
        now: int,
        timeline: int,
        allowed_secrets: AllowedPaths,
    ) -> None:
        super().__init__(aggregates, projections, connection, now, MAXIMUM_ANSWER_BYTES)
        self._answers = answers
        self._head = head
        self._timeline = timeline
        self._allowed_secrets = allowed_secrets
        self._entries: list[chain.Entry] = []
        self._remembered: dict[str, tuple[bytes, bytes]] = {}
        # Each with the number of events from which it can be told again; 0 if it says more.
        self._new_answers: dict[str, tuple[Answer, int]] = {}
        self.notices: list[Notice] = []
        # Accepted requests, although parts of them look like credentials.
        self.let_through: list[Request] = []
        self.commands = 0
        self.tally = Tally()

    @property
    def new_answers(self) -> list[Answer]:
        """The answers to remember."""
        return [answer for answer, _ in self._new_answers.values()]

    def decide(self, submissions: list[Submission]) -> None:
        """Gives every submission its outcome, which holds once the group is committed."""
        requests = [
            request for one in submissions for request in one.requests if isinstance(request, Request)
        ]
        self._recall(requests)
        self._aggregates.look_ahead(filter(None, map(_stream_named, requests)))
        for one in submissions:
            self.answer_bytes_left = MAXIMUM_ANSWER_BYTES
            self.commands += len(one.requests)
            if not one.batch:
                one.outcome = self._outcome(one.requests[0])
                continue
            self._work = Budget()
            if one.atomic:
                one.outcome = self._all_or_nothing(one.requests)
            else:
                one.outcome = self._one_by_one(one.requests)
            self._work = None

    def write(self) -> Content:
        """The content that the group decided, once it is written."""
        rows, _ = chain.extend(self._head, self._entries, self.now)
        content = Content(
            before=self._head,
            rows=rows,
            answers=list(self._new_answers.values()),
            leases=self._aggregates.changed_leases(),
        )
        write(self._connection, self._projections, self._aggregates, self._answers, content)
        return content

    def _recall(self, requests: list[Request]) -> None:
        """Reads, in one query, the remembered answers to the group's command ids."""
        ids = {one for request in requests if (one := request.remembered_as) is not None}
        # Tokens once had no command ids of their own: their older answers are kept without an owner.
        before = {one for request in requests if (one := request.remembered_before_as) is not None}
        if ids:
            for command_id, request_hash, position, answer in self._answers.recall(ids | before).values():
                self._remembered[command_id] = (request_hash, answer.encode())
                if command_id in before and (principal := self._principal_of(command_id, position)):
                    owned = f"{command_id}{codec.OWNED_BY}{TOKENS}{principal}"
                    self._remembered.setdefault(owned, self._remembered[command_id])

    def _principal_of(self, command_id: str, position: int) -> str | None:
        """The principal that sent the command whose last event is at a position; `None` if unknown."""
        principal: str | None = self._connection.execute(
            "SELECT metadata ->> 'principal' FROM events WHERE position = ? AND command_id = ?",
            (position, command_id),
        ).get
        return principal

    def _one_by_one(self, requests: list[Request | Refusal]) -> Outcome:
        bodies = []
        # Each command that is still to come needs room for its envelope.
        self.answer_bytes_left -= len(requests) * _ENVELOPE_IN_BATCH_BYTES
        for index, request in enumerate(requests):
            outcome = self._outcome(request, index)
            bodies.append(outcome.body)
            self.answer_bytes_left -= max(0, len(outcome.body) - _ENVELOPE_IN_BATCH_BYTES)
        return _outcomes(bodies)

    def _all_or_nothing(self, requests: list[Request | Refusal]) -> Outcome:
        mark, entries, notices = self._aggregates.mark(), len(self._entries), len(self.notices)
        let_through = len(self.let_through)
        remembered, new_answers = dict(self._remembered), dict(self._new_answers)
        tally, self.tally = self.tally, Tally()
        bodies: list[bytes] = []
        self.answer_bytes_left -= len(requests) * _ENVELOPE_IN_BATCH_BYTES
        for index, request in enumerate(requests):
            outcome = self._outcome(request)
            self.answer_bytes_left -= max(0, len(outcome.body) - _ENVELOPE_IN_BATCH_BYTES)
            if outcome.refusal is not None:
                self._aggregates.undo_to(mark)
                del self._entries[entries:]
                del self.notices[notices:]
                del self.let_through[let_through:]
                self._remembered, self._new_answers = remembered, new_answers
                outcome.refusal.details.setdefault("index", index)
                outcome.refusal.message = f"command {index} of the batch: {outcome.refusal.message}"
                # None of them was carried out, not even those before it.
                tally.add_all(self.tally.replace(outcome.refusal.code))
                self.tally = tally
                return refused(outcome.refusal)
            bodies.append(outcome.body)
        tally.add_all(self.tally)
        self.tally = tally
        return _outcomes(bodies)

    def _outcome(self, request: Request | Refusal, index: int | None = None) -> Outcome:
        """The outcome of a command. `index` is its place in a batch that goes on if it is refused."""
        if isinstance(request, Refusal):
            self.tally.add(UNKNOWN, request.code)
            return refused(request)
        mark, entries = self._aggregates.mark(), len(self._entries)
        try:
            return Outcome(self._answer(request))
        except Refusal as refusal:
            error: Refusal = refusal
            tell_schema(error, request.name)
        except apsw.Error:
            raise
        except BaseException as defect:
            # No exception of a decider may end the writer's thread: a `sys.exit` in one is just a defect.
            error = internal(
                logger,
                "a command could not be decided",
                defect,
                command=request.name,
                command_id=request.command_id,
                correlation_id=correlation_id_in(request.metadata),
            )
        self._aggregates.undo_to(mark)
        del self._entries[entries:]
        self.tally.add(request.name, error.code)
        if index is not None:
            error.details.setdefault("index", index)
        return refused(error)

    def _answer(self, request: Request) -> bytes:
        command_id, request_hash = request.remembered_as, b""
        self.keys = request.keys
        if command_id is not None and request.verb.remembered:
            request_hash = codec.request_hash(request.name, request.expected_version, request.command)
            seen = self._remembered.get(command_id)
            if seen is not None:
                if seen[0] != request_hash:
                    raise CommandIdReused(
                        f"command id {request.command_id} was used for another command",
                        hint="a retry repeats verb, body and expected version; anything else needs a new id",
                    )
                self._require_room(seen[1])
                self.tally.add(request.name, "repeated")
                return seen[1]
        if request.findings:
            self._allowed_secrets.require(request.name, request.findings)
        decision, key, aggregate = self._decide(request)
        answer = codec.encode(self._record(request, decision, key, aggregate))
        if request.decider.table in OTHERS and len(answer) > MAXIMUM_ANSWER_BYTES:
            raise _too_much("an answer", "bytes", len(answer), MAXIMUM_ANSWER_BYTES)
        remembered = request.verb.remembered and (decision.events or request.verb.empty_is_remembered)
        if command_id is not None and remembered:
            self._remembered[command_id] = (request_hash, answer)
            head = self._head.position + len(self._entries)
            kept = Answer(command_id, request_hash, head, answer.decode())
            self._new_answers[command_id] = (kept, len(decision.events) if decision.result is None else 0)
        self.tally.add(request.name, "accepted")
        self.notices.extend(decision.notices)
        if request.findings:
            self.let_through.append(request)
        return answer

    def _require_room(self, answer: bytes) -> None:
        # Answers that were given one by one, above all to claims, may together be too large for one batch.
        if len(answer) > self.answer_bytes_left + _ENVELOPE_IN_BATCH_BYTES:
            raise TooLarge(
                "what was answered before does not fit into the answer to this batch",
                hint="send this command again, alone",
                limit_bytes=max(0, self.answer_bytes_left),
                size_bytes=len(answer),
            )

    def _decide(self, request: Request) -> tuple[Decision, str | None, Aggregate]:
        """The decision, with the key and the aggregate that it is about, if it is about one."""
        if request.verb.key is None:
            if request.expected_version is not None:
                raise Invalid(
                    f"{request.name} spans several streams: there is no one version to expect",
                    path=EXPECTED_VERSION,
                )
            return request.verb.decide(None, request.command, self, None), None, ABSENT
        key = request.verb.key(request.command)
        if key is None:
            # No other aggregate has a new key, so its stream is empty.
            key, aggregate = self.new_key(), ABSENT
        else:
            if request.decider.table in OTHERS:
                _require_key(key)
            aggregate = self._aggregates.get(request.decider.table, key)
        if request.expected_version is not None:
            _expect(request, request.expected_version, aggregate, key, self.now)
        return request.verb.decide(aggregate.state, request.command, self, key), key, aggregate

    def _record(
        self, request: Request, decision: Decision, key: str | None, aggregate: Aggregate
    ) -> CommandAnswer:
        command_id = request.command_id or self.new_id()
        types: list[str] = []
        stream: str | None = None
        last = ABSENT
        is_others = request.decider.table in OTHERS
        if is_others and len(decision.events) > MAXIMUM_EVENTS:
            raise _too_much("a decision", "events", len(decision.events), MAXIMUM_EVENTS)
        for event_key, event in decision.events:
            table = TABLE_OF[type(event)]
            if is_others:
                _require_key(event_key)
            # The first event is nearly always of the aggregate that the decision is about.
            is_known = not types and event_key == key and table == request.decider.table
            before = aggregate if is_known else self._aggregates.get(table, event_key)
            if is_others and may_be_unbounded(type(event), OF_EVENTS):
                require_finite(event, f"the event {type(event).__name__}")
            type_name, data = encode_event(event)
            if is_others and len(data) > MAXIMUM_EVENT_BYTES:
                raise _too_much("an event", "bytes", len(data), MAXIMUM_EVENT_BYTES)
            stream = stream_name(table, event_key)
            version, position = before.version + 1, self._head.position + len(self._entries) + 1
            self._entries.append(
                chain.Entry(stream, version, type_name, command_id, data.decode(), request.metadata)
            )
            last = self._aggregates.apply(
                table, stream, before, Recorded(position, event_key, version, self.now, event)
            )
            if table in OTHERS:
                # Here, a row that does not fit fails this command alone; later it would fail the whole group.
                self._projections.require_row(table, event_key, last)
            types.append(type_name)
        for job_id, lease in decision.leases.items():
            self._aggregates.set_lease(job_id, lease)
        return CommandAnswer(
            command_id,
            stream,
            last.version or None,
            last.position or None,
            self._timeline,
            types,
            decision.result(self._row) if callable(decision.result) else decision.result,
        )

    def _row(self, table: str, key: str) -> msgspec.Raw:
        row = self._projections.listed_row_json(table, self._aggregates.get(table, key))
        return msgspec.Raw(row or b"null")


def _require_key(key: object) -> None:
    """Refuses what is not a key: an installed aggregate may take anything for one."""
    if not (isinstance(key, str) and _KEY.match(key)):
        raise Invalid("this is not a key", hint=KEY_RULES[KEY_PATTERN], path="$")


def _too_much(what: str, unit: str, found: int, most: int) -> TooLarge:
    return TooLarge(f"{what} would have {found} {unit}, and may have {most}", limit=most, size=found)


def _stream_named(request: Request) -> str | None:
    try:
        key = None if request.verb.key is None else request.verb.key(request.command)
    except Refusal:
        # The command is refused when its turn comes. The others of the group are not.
        return None
    return None if key is None else stream_name(request.decider.table, key)


def _expect(request: Request, expected: int, aggregate: Aggregate, key: str, now: int) -> None:
    if expected == aggregate.version:
        return
    # Zero means that the aggregate must not exist. A deleted one does not, though its stream has a version.
    if expected == 0 and not request.decider.exists(aggregate.state, now):
        return
    raise VersionConflict(
        f"{stream_name(request.decider.table, key)} is at version {aggregate.version}, not {expected}",
        hint="read it again, and decide on what it is now",
        expected_version=expected,
        actual_version=aggregate.version,
    )


def _outcomes(bodies: list[bytes]) -> Outcome:
    return Outcome(b'{"outcomes":[' + b",".join(bodies) + b"]}")
