"""OpenTelemetry traces of commands: `Traces`, made only if an SDK is set up in the process.

    the sender's span (traceparent)
    └── command jobs.enqueue       from its arrival to its answer
        ├── decide                 of the group it was stored with
        ├── commit                 until the disk has it
        └── publish job.enqueued   until the stream has the event

Spans are made after a group is committed, from times that the writer notes once for each group. So commands
cost no more without an SDK, and with one they are answered before their spans are made. Spans hold nothing of
a command's body.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import ProxyTracerProvider, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bus.log.chain import Row
from bus.serving.durable.delivery import Delivery
from bus.serving.intake import Caller
from bus.writing.submission import Commit, GroupTimes, Request, Submission
from domain.errors import SecretRejected
from domain.messages import Metadata
from hyperpage_client.contract.headers import TRACEPARENT
from hyperpage_client.contract.subjects import BATCH, BusNames

# How many spans may wait for the stream. While the broker is away, the oldest are dropped.
MAXIMUM_UNPUBLISHED = 10_000
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROPAGATOR = TraceContextTextMapPropagator()

logger = logging.getLogger(__name__)


class _Answer(msgspec.Struct):
    """The part of an answer that is about the command's events."""

    position: int | None = None
    events: list[str] = []


class _Answers(msgspec.Struct):
    outcomes: list[_Answer]


class Traces:
    """Makes the spans of a service. Used from the event loop's thread only."""

    def __init__(self, names: BusNames, version: str) -> None:
        self._names = names
        self._tracer = trace.get_tracer("hyperpage", version)
        # The spans of events that are not in the stream yet, with the events' positions.
        self._unpublished: deque[tuple[int, Span]] = deque()
        self._published = 0
        # The difference between the monotonic clock and the time of day.
        self._offset_ns = time.time_ns() - time.perf_counter_ns()

    def committed(self, commit: Commit) -> None:
        """Makes the spans of a group's commands, which were just stored or refused."""
        self._offset_ns = time.time_ns() - time.perf_counter_ns()
        now_ns = time.time_ns()
        for one in commit.submissions:
            if isinstance(one.context, Caller | Delivery):
                self._trace(one, commit, now_ns)
        # The relay reads the store itself, and may have published these events already.
        self.published(self._published)

    def published(self, position: int) -> None:
        """Ends the spans of events up to a position: the stream has them."""
        self._published = position
        now_ns = time.time_ns()
        while self._unpublished and self._unpublished[0][0] <= position:
            self._unpublished.popleft()[1].end(now_ns)

    def _trace(self, submission: Submission, commit: Commit, now_ns: int) -> None:
        request = next((one for one in submission.requests if isinstance(one, Request)), None)
        name = BATCH if submission.batch or request is None else request.name
        caller, times = submission.context, commit.times
        if isinstance(caller, Caller):
            kind, subject = SpanKind.SERVER, self._names.command(name)
            began_ns = caller.arrived_ns + self._offset_ns
        else:
            kind, subject = SpanKind.CONSUMER, self._names.durable_command(name)
            began_ns = now_ns if times is None else self._at(times.began)
        span = self._tracer.start_span(
            f"command {name}",
            _parent(None if request is None else request.metadata),
            kind,
            {"hyperpage.commands": len(submission.requests)},
            start_time=began_ns,
        )
        if span.is_recording():
            if not (isinstance(caller, Caller) and caller.waiting is not None):
                # Without `waiting`, the command came over HTTP.
                span.set_attributes(
                    {
                        "messaging.system": "nats",
                        "messaging.operation.type": "process",
                        "messaging.destination.name": subject,
                    }
                )
            self._describe(span, submission, request)
            if times is not None:
                context = trace.set_span_in_context(span, Context())
                self._spans_of_group(context, commit, times)
                self._events(context, submission, commit, times)
        span.end(now_ns)

    def _describe(self, span: Span, submission: Submission, request: Request | None) -> None:
        refusal = None if submission.outcome is None else submission.outcome.refusal
        span.set_attribute("hyperpage.outcome", "accepted" if refusal is None else refusal.code)
        if refusal is not None and refusal.number >= 500:
            # Refusals are answers and not errors, unless the service itself failed (500 and above).
            span.set_status(Status(StatusCode.ERROR, refusal.code))
        if request is None or request.command_id is None or submission.batch:
            return
        if not isinstance(refusal, SecretRejected):
            span.set_attribute("hyperpage.command_id", request.command_id)

    def _spans_of_group(self, context: Context, commit: Commit, times: GroupTimes) -> None:
        group = {"hyperpage.group.commands": sum(len(one.requests) for one in commit.submissions)}
        for name, began, ended in (
            ("decide", times.began, times.decided),
            *([("replicate", times.decided, times.replicated)] if times.replicated > times.decided else []),
            ("commit", times.replicated, times.committed),
        ):
            span = self._tracer.start_span(
                name, context, SpanKind.INTERNAL, group, start_time=self._at(began)
            )
            span.end(self._at(ended))

    def _events(self, context: Context, submission: Submission, commit: Commit, times: GroupTimes) -> None:
        for row in _rows_of(submission, commit):
            span = self._tracer.start_span(
                f"publish {row.type}",
                context,
                SpanKind.PRODUCER,
                {
                    "messaging.system": "nats",
                    "messaging.operation.type": "send",
                    "messaging.destination.name": self._names.events,
                    "hyperpage.stream": row.stream,
                    "hyperpage.position": row.position,
                },
                start_time=self._at(times.committed),
            )
            if len(self._unpublished) == MAXIMUM_UNPUBLISHED:
                self._unpublished.popleft()
            self._unpublished.append((row.position, span))

    def _at(self, perf_counter: float) -> int:
        return round(perf_counter * 1e9) + self._offset_ns


def _parent(metadata: str | None) -> Context:
    """The context with the span of a command's sender; an empty one if the command names none."""
    if metadata is None:
        return Context()
    traceparent = msgspec.json.decode(metadata, type=Metadata).traceparent
    return Context() if traceparent is None else _PROPAGATOR.extract({TRACEPARENT: traceparent}, Context())


def _rows_of(submission: Submission, commit: Commit) -> list[Row]:
    """The events of a command in this commit; none if it was repeated and got its earlier answer."""
    if not commit.rows or submission.outcome is None or submission.outcome.refusal is not None:
        return []
    body, first = submission.outcome.body, commit.rows[0].position
    try:
        answers = (
            msgspec.json.decode(body, type=_Answers).outcomes
            if submission.batch
            else [msgspec.json.decode(body, type=_Answer)]
        )
    except msgspec.DecodeError:
        return []
    found = []
    for answer in answers:
        if answer.position is not None and answer.position >= first:
            end = answer.position - first + 1
            found += commit.rows[end - len(answer.events) : end]
    return found


def traces_if_wanted(names: BusNames, version: str) -> Traces | None:
    """The traces of a service if an SDK is set up in this process, otherwise `None`."""
    provider = trace.get_tracer_provider()
    # These providers of the API do nothing.
    if isinstance(provider, ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    return Traces(names, version)


@contextmanager
def sending_traces(version: str, environment: Mapping[str, str] | None = None) -> Iterator[bool]:
    """Sends spans for the length of the block, if OpenTelemetry's variables name a collector; yields whether.

    Those variables also set everything else: sampling, headers, limits, the name of the service.
    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
    """
    environment = os.environ if environment is None else environment
    if not _is_wanted(environment):
        yield False
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        logger.warning(
            "no traces are sent, since %s is not installed: in a copy of the repository,"
            " `pip install '.[traces]'`",
            error.name,
        )
        yield False
        return
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override these.
    named = {"service.name": "hyperpage-persistence", "service.version": version}
    provider = TracerProvider(resource=Resource(named).merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    try:
        yield True
    finally:
        # Sends the remaining spans.
        provider.shutdown()


def _is_wanted(environment: Mapping[str, str]) -> bool:
    return (
        any(environment.get(name) for name in _ENDPOINTS)
        and environment.get("OTEL_SDK_DISABLED", "").lower() != "true"
        and environment.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
    )
