"""The cluster that a service is a member of, as families of metrics."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from bus.replication.standing import ClusterState
from ops.health.cluster import member_figures


def cluster_families(state: ClusterState) -> Iterator[Metric]:
    """The leader, the live members and their lags, and how the log is kept. Unknown values have no sample."""
    leader, log, members = state.leader, state.log, member_figures(state)
    yield GaugeMetricFamily(
        "hyperpage_cluster_led", "Whether somebody is known to lead: 1 or 0.", leader is not None
    )
    yield GaugeMetricFamily(
        "hyperpage_cluster_term", "The term of the one that leads.", None if leader is None else leader.term
    )
    yield CounterMetricFamily(
        "hyperpage_cluster_leader_changes",
        "How often another member led than before, as this one has seen.",
        state.leader_changes,
    )
    live = GaugeMetricFamily("hyperpage_cluster_members", "Members that are live.", labels=("role",))
    for role, count in sorted(Counter(one.role for one in members).items()):
        live.add_metric((role,), count)
    yield live
    lag = GaugeMetricFamily(
        "hyperpage_cluster_member_lag_events",
        "Events that a member lacks of the leader's, as both have told within the last seconds.",
        labels=("member",),
    )
    for one in members:
        if one.lag_events is not None:
            lag.add_metric((one.name,), one.lag_events)
    yield lag
    for name, said, value in (
        ("messages", "Messages in the log of the cluster.", None if log is None else log.messages),
        ("copies", "Copies of the log that there are to be.", None if log is None else log.replicas),
        ("copies_available", "Those whose nats-server is there.", None if log is None else log.available),
    ):
        yield GaugeMetricFamily(f"hyperpage_cluster_log_{name}", said, value)
