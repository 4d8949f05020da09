"""The causes between a service and its nats-server: the connection, the relay, the streams, the mirrors."""

from collections.abc import Iterator, Mapping, Sequence

from bus.publishing.mirror import MirrorState
from bus.publishing.relay import RelayState
from bus.publishing.stream_audit import AuditState
from bus.publishing.stream_state import how_to_refill
from bus.serving.dead_letters import UNREADABLE_SHARE
from domain.counting import counted
from hyperpage_client.contract.subjects import BusNames
from ops.health.cause import Cause
from ops.health.machine import MIB
from ops.health.streams import StreamFigures
from ops.parts import Parts
from ops.settings import Settings

# The share of a stream's limit at which it counts as nearly full: it is never quite full, since a message
# that does not fit leaves some bytes free.
NEARLY_FULL = 0.8
# The memory of nats-server for each subject in a file-backed stream, measured with 600,000 subjects.
BYTES_A_SUBJECT = 256


def broker_causes(parts: Parts) -> Iterator[Cause]:
    """Causes between the service and the nats-server."""
    failure = None if parts.nats_server is None else parts.nats_server.failure
    if failure is not None:
        yield Cause(
            "nats_server_down",
            "unhealthy",
            f"the embedded nats-server is down: {failure}",
            "it is started again by itself; the message has its last words: free its port or its disk",
        )
    elif not parts.is_connected:
        yield Cause(
            "nats_disconnected",
            "unhealthy",
            "there is no connection to the nats-server",
            "see that it runs and can be reached: the connection is made again by itself",
        )


def relay_causes(relay: RelayState, settings: Settings, now_ms: int) -> Iterator[Cause]:
    """Causes in the relay: subscribers get events late, or not at all."""
    if not relay.healthy:
        yield Cause(
            "relay_stopped",
            "unhealthy",
            f"the relay publishes nothing: {relay.problem}",
            relay.repair or "it goes on by itself once JetStream takes messages: see that it has room",
        )
    elif relay.oldest_unpublished_at is not None:
        behind_seconds = (now_ms - relay.oldest_unpublished_at) / 1_000
        if behind_seconds > settings.relay_lag_degraded_seconds:
            yield Cause(
                "relay_behind",
                "degraded",
                f"the relay is {behind_seconds:.1f} s and {counted(relay.lag, 'event')} behind",
                "it catches up by itself; if it does not, the nats-server is too slow",
            )


def audit_of_stream_causes(audit: AuditState, stream: str) -> Iterator[Cause]:
    """Causes in the stream of events: its messages are not what the log says."""
    if not (audit.differing or audit.deleted):
        return
    said = [one.problem for one in audit.differences[:1]]
    if audit.differing > 1:
        more = counted(audit.differing - 1, "more is", "more are")
        said.append(f"{more} not as the log says")
    if audit.deleted:
        said.append(f"{counted(audit.deleted, 'is', 'are')} gone, and no limit says why")
    yield Cause(
        "stream_differs",
        "degraded",
        f"the messages of {stream} are not those of the log: {'; '.join(said)}",
        f"who follows them misses something, or reads the log instead; {how_to_refill(stream)}",
    )


def subject_causes(streams: Mapping[str, StreamFigures], settings: Settings) -> Iterator[Cause]:
    """Causes in the memory that nats-server needs for subjects: almost every event has its own subject."""
    subjects = sum(one.subjects for one in streams.values())
    memory_bytes = subjects * BYTES_A_SUBJECT
    if memory_bytes > settings.subjects_degraded_mib * MIB:
        yield Cause(
            "many_subjects",
            "degraded",
            f"nats-server keeps some {memory_bytes // MIB} MiB of memory for {subjects} subjects",
            "have the stream of events keep less, by HYPERPAGE_EVENTS_KEPT_DAYS or"
            " HYPERPAGE_EVENTS_STREAM_MIB: the log has all; or raise HYPERPAGE_SUBJECTS_DEGRADED_MIB",
        )


def stream_causes(
    streams: Mapping[str, StreamFigures], names: BusNames, *, has_unkept_letters: bool
) -> Iterator[Cause]:
    """Causes in streams that are nearly full."""
    commands, results = streams.get(names.commands), streams.get(names.results)
    letters, log = streams.get(names.dead_letters), streams.get(names.log)
    if log is not None and log.is_filled_to(NEARLY_FULL):
        yield Cause(
            "log_stream_full",
            "degraded",
            f"the log of the cluster takes {log.room}; once it is full, commands are refused",
            "a proven backup lets what is older go: `hyperpage backup create`, then `hyperpage backup drill`;"
            " or raise HYPERPAGE_REPLICATION_LOG_MIB",
        )
    if commands is not None and commands.is_filled_to(NEARLY_FULL):
        yield Cause(
            "commands_stream_full",
            "degraded",
            f"durable commands take {commands.room}; the broker refuses more, and tells their senders",
            "it shrinks as they are carried out; else raise HYPERPAGE_COMMANDS_STREAM_MIB",
        )
    if results is not None and results.is_filled_to(NEARLY_FULL):
        yield Cause(
            "results_stream_full",
            "degraded",
            f"the answers to durable commands take {results.room}, so that the oldest go before their time",
            "whoever misses one sends the command again under its id; raise HYPERPAGE_RESULTS_STREAM_MIB",
        )
    if letters is not None and letters.is_filled_to(UNREADABLE_SHARE * NEARLY_FULL):
        yield Cause(
            "dead_letters_full",
            "degraded",
            f"dead letters take {letters.room}, and messages that are no command are kept to the half of that"
            + (", of which some were answered and not kept" if has_unkept_letters else ""),
            "`hyperpage dlq list`, and replay or drop them; or raise HYPERPAGE_DEAD_LETTERS_STREAM_MIB",
        )
    for name, stream in streams.items():
        if stream.limit_consumers is not None and stream.consumers >= stream.limit_consumers:
            yield Cause(
                "consumers_full",
                "degraded",
                f"{name} has {counted(stream.consumers, 'consumer')}, and takes no more",
                "delete those that nobody uses (`nats consumer report`), or raise HYPERPAGE_STREAM_CONSUMERS",
            )


def mirror_causes(mirrors: Sequence[MirrorState]) -> Iterator[Cause]:
    """Causes in the KV buckets."""
    for one in mirrors:
        if not one.healthy:
            yield Cause(
                "mirror_stopped",
                "degraded",
                f"the mirror {one.bucket} is not kept: {one.problem}",
                "it is filled up by itself once JetStream takes it: see that there is room",
            )
