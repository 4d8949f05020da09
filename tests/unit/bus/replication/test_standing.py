"""The state of the log's stream and its copies, read from JetStream's report."""

from typing import Any

import pytest

from bus.replication.standing import log_standing
from hyperpage_client.transport.jetstream_answers import StreamCluster, StreamCopy, StreamCounts, StreamReport

SECOND_NS = 10**9


def report(replicas: int, cluster: StreamCluster | None, **config: Any) -> StreamReport:
    counts = StreamCounts(messages=3, bytes=900)
    return StreamReport({"num_replicas": replicas, **config}, "", counts, cluster=cluster)


def test_a_single_nats_server_tells_of_no_copies_and_has_the_only_one() -> None:
    found = log_standing("LOG", report(1, None, max_bytes=-1))
    assert (found.replicas, found.available, found.quorum, found.copies) == (1, 1, 1, [])
    assert found.has_quorum
    assert found.limit_bytes is None


@pytest.mark.parametrize(
    ("copy", "is_there"),
    [
        pytest.param(StreamCopy("n1", current=True), True, id="has all"),
        pytest.param(StreamCopy("n1", current=True, silent_ns=SECOND_NS), True, id="was just heard of"),
        pytest.param(StreamCopy("n1", silent_ns=SECOND_NS, lag=7), True, id="catches up"),
        pytest.param(StreamCopy("n1", silent_ns=6 * SECOND_NS, current=True), False, id="is silent"),
        pytest.param(StreamCopy("n1", offline=True, current=True), False, id="is known to be away"),
        pytest.param(StreamCopy("n1", lag=4), False, id="was not heard of since the leader was chosen"),
    ],
)
def test_a_copy_is_there_while_its_nats_server_is_heard_of(copy: StreamCopy, is_there: bool) -> None:
    away = StreamCopy("n2", offline=True)
    found = log_standing("LOG", report(3, StreamCluster("n0", [copy, away])))
    assert [one.available for one in found.copies] == [True, is_there, False]
    assert [one.leads for one in found.copies] == [True, False, False]
    assert found.has_quorum is is_there


def test_without_a_leader_nothing_is_stored() -> None:
    found = log_standing("LOG", report(1, StreamCluster("", None)))
    assert (found.available, found.has_quorum) == (0, False)
