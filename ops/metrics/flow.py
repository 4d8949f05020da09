"""Counts and durations, as families of metrics: commands, queries, groups, requests over HTTP."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from bus.measures import Histogram, Tally
from bus.serving.discovery import Endpoint
from bus.writing.writer import Writer
from ops.metrics.http_counts import HttpCounts
from ops.parts import Parts


def command_families(parts: Parts) -> Iterator[Metric]:
    """Commands by outcome, and how long their senders waited."""
    outcomes = Tally()
    if (leading := parts.role.leading) is not None:
        # Commands that were refused before they reached the writer are counted by intake and durable
        # commands.
        for one in (leading.writer.statistics.outcomes, leading.intake.refused, leading.durable.refused):
            outcomes.add_all(one)
    counted = CounterMetricFamily(
        "hyperpage_commands",
        "Commands by outcome: accepted, repeated (an id that was seen before), or the code of the refusal."
        " Those in batches count one by one.",
        labels=("command", "outcome"),
    )
    for (command, outcome), count in sorted(outcomes):
        counted.add_metric((command, outcome), count)
    yield counted
    yield _durations(
        "hyperpage_command_duration_seconds",
        "From the arrival of a request to its answer, the commit included; a batch counts as one.",
        "command",
        parts.command_endpoints,
    )
    yield _counter(
        "hyperpage_dropped_requests",
        "Requests that were not carried out, since their reply subject was nobody's inbox.",
        parts.dropped_requests,
    )


def act_families(parts: Parts) -> Iterator[Metric]:
    """Acts for the audit log."""
    counted = CounterMetricFamily(
        "hyperpage_acts",
        "Administrative acts, log-ins and what was refused, by what became of them: begun, done, tried (a dry"
        " run), refused or failed.",
        labels=("action", "outcome"),
    )
    for (action, outcome), count in sorted(parts.audit.counts):
        counted.add_metric((action, outcome), count)
    yield counted
    yield _counter(
        "hyperpage_acts_lost", "Acts that the audit log could not be told, and never will.", parts.audit.lost
    )


def query_families(parts: Parts) -> Iterator[Metric]:
    """Queries on the bus by outcome, and how long they took."""
    counted = CounterMetricFamily(
        "hyperpage_queries",
        "Queries on the bus by outcome: answered, or the code of the refusal.",
        labels=("query", "outcome"),
    )
    for name, endpoint in parts.query_endpoints.items():
        if answered := endpoint.requests - endpoint.errors:
            counted.add_metric((name, "answered"), answered)
        for code, count in sorted(endpoint.refusals.items()):
            counted.add_metric((name, code), count)
    yield counted
    yield _durations(
        "hyperpage_query_duration_seconds",
        "From the arrival of a query on the bus to its answer.",
        "query",
        parts.query_endpoints,
    )


def writer_families(writer: Writer) -> Iterator[Metric]:
    """Groups of commands that are stored together."""
    statistics = writer.statistics
    yield _counter("hyperpage_events", "Events that were stored.", statistics.events)
    yield _histogram(
        "hyperpage_group_commands",
        "Commands that were stored together, in one commit.",
        statistics.group_sizes,
    )
    yield _histogram(
        "hyperpage_group_duration_seconds",
        "From the first decision of a group to its being on disk.",
        statistics.group_durations,
    )
    yield _histogram(
        "hyperpage_replication_duration_seconds",
        "How long the log of the cluster takes to have a group, before its commit.",
        statistics.replication_durations,
    )
    yield _histogram(
        "hyperpage_commit_duration_seconds",
        "The commit alone: how long the disk takes to say that it has it.",
        statistics.commit_durations,
    )
    yield _counter(
        "hyperpage_failed_commits", "Groups of commands that could not be stored.", statistics.failed_commits
    )
    yield GaugeMetricFamily(
        "hyperpage_waiting_commands", "Commands that wait for the writer.", writer.waiting
    )
    yield GaugeMetricFamily(
        "hyperpage_waiting_seconds",
        "How long a command will wait for the writer that comes now, as far as the last ones tell.",
        writer.queue.wait_seconds,
    )
    yield GaugeMetricFamily(
        "hyperpage_hot_aggregates", "Aggregates whose state is kept in memory.", writer.hot_aggregates
    )


def http_families(counts: HttpCounts) -> Iterator[Metric]:
    """Requests over HTTP."""
    counted = CounterMetricFamily(
        "hyperpage_http_requests", "Requests over HTTP by method and status.", labels=("method", "status")
    )
    for (method, status), count in sorted(counts.requests):
        counted.add_metric((method, status), count)
    yield counted
    yield _histogram(
        "hyperpage_http_request_duration_seconds",
        "From the arrival of a request over HTTP to the end of its response; without streams of events.",
        counts.durations,
    )
    yield GaugeMetricFamily(
        "hyperpage_http_connections", "Connections over HTTP that there are now.", counts.connections
    )
    yield _counter(
        "hyperpage_http_connections_ended",
        "Connections over HTTP that only waited and were ended for new ones.",
        counts.gave_way,
    )
    yield GaugeMetricFamily(
        "hyperpage_event_stream_clients", "Who follows a stream of server-sent events now.", counts.streams
    )


def _counter(name: str, help_text: str, value: float) -> Metric:
    return CounterMetricFamily(name, help_text, value)


def _histogram(name: str, help_text: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(name, help_text, list(histogram.cumulated()), histogram.sum)


def _durations(name: str, help_text: str, label: str, endpoints: Mapping[str, Endpoint]) -> Metric:
    family = HistogramMetricFamily(name, help_text, labels=(label,))
    # Unused endpoints are left out: they would be most of the answer.
    for used, endpoint in endpoints.items():
        if endpoint.requests:
            family.add_metric((used,), list(endpoint.durations.cumulated()), endpoint.durations.sum)
    return family
