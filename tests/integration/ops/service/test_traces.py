"""Traces of commands, as a collector gets them from a real service; and none where there is no SDK."""

import asyncio
import json
import logging
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from ops.service.traces import sending_traces, traces_if_wanted
from tests.support.patience import wait_for
from tests.support.services.command_line import Served
from tests.support.services.raw_nats import RawNats
from tests.support.services.serving import serving

TRACE = "0af7651916cd43dd8448eb211c80319c"
SENDER = "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{SENDER}-01"


class Collector:
    """Takes spans as an OpenTelemetry collector does: protobuf over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resource: dict[str, str] = {}
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for one in ExportTraceServiceRequest.FromString(body).resource_spans:
                    collector.resource = {
                        each.key: each.value.string_value for each in one.resource.attributes
                    }
                    collector.spans += [span for scope in one.scope_spans for span in scope.spans]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def named(self, name: str, count: int = 1) -> list[Span]:
        """The spans of a name; waits for so many of them."""
        wait_for(lambda: len([one for one in self.spans if one.name == name]) >= count)
        return [one for one in self.spans if one.name == name]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def attributes(span: Span) -> dict[str, Any]:
    return {
        one.key: one.value.string_value or one.value.int_value or one.value.bool_value
        for one in span.attributes
    }


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.stop()


@pytest.fixture(scope="module")
def traced(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    data = tmp_path_factory.mktemp("traced") / "data"
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
    with Served(data, "--no-http", **variables) as service:
        yield service


def ask(service: Served, subject: str, body: Any, **headers: str) -> Any:
    """The answer to a request with headers."""

    async def scenario() -> Any:
        async with await RawNats.connect(service.runtime["nats_url"]) as client:
            said = {name.replace("_", "-"): value for name, value in headers.items()}
            return (await client.request(subject, body, headers=said)).said

    return asyncio.run(scenario())


def test_a_command_is_traced_from_its_senders_span_to_its_published_event(
    traced: Served, collector: Collector
):
    answer = ask(
        traced,
        "hyperpage.cmd.v1.jobs.enqueue",
        {"id": "traced-1", "type": "sync", "name": "a name of my own"},
        traceparent=SAMPLED,
        Hyperpage_Command_Id="traced-command",
    )
    (publish,) = collector.named("publish job.enqueued.v1")
    (command,) = collector.named("command jobs.enqueue")
    (decide,), (commit,) = collector.named("decide"), collector.named("commit")

    spans = (command, decide, commit, publish)
    assert {one.trace_id.hex() for one in spans} == {TRACE}
    assert command.parent_span_id.hex() == SENDER
    assert {one.parent_span_id for one in (decide, commit, publish)} == {command.span_id}
    assert [one.kind for one in spans] == [
        Span.SPAN_KIND_SERVER,
        Span.SPAN_KIND_INTERNAL,
        Span.SPAN_KIND_INTERNAL,
        Span.SPAN_KIND_PRODUCER,
    ]
    # The spans follow one another, by the wall clock.
    assert command.start_time_unix_nano <= decide.start_time_unix_nano < decide.end_time_unix_nano
    assert decide.end_time_unix_nano <= commit.start_time_unix_nano < commit.end_time_unix_nano
    assert commit.end_time_unix_nano <= command.end_time_unix_nano
    assert commit.end_time_unix_nano <= publish.start_time_unix_nano < publish.end_time_unix_nano

    assert attributes(command)["messaging.destination.name"] == "hyperpage.cmd.v1.jobs.enqueue"
    assert attributes(command)["hyperpage.command_id"] == "traced-command"
    assert attributes(command)["hyperpage.outcome"] == "accepted"
    assert attributes(publish)["hyperpage.position"] == answer["position"]
    assert "a name of my own" not in str(collector.spans)
    assert collector.resource["service.name"] == "hyperpage-persistence"

    (event,) = traced.ask("query", "events.read", json.dumps({"after": answer["position"] - 1}))["items"]
    assert event["traceparent"] == SAMPLED


def test_batches_retries_and_refusals_have_spans_that_say_so(traced: Served, collector: Collector):
    commands = [{"command": "app_state.set", "body": {"key": key, "value": 1}} for key in ("a", "b")]
    batch = {"atomic": True, "commands": [*commands, {"command": "app_state.delete", "body": {"key": "a"}}]}
    ask(traced, "hyperpage.cmd.v1.batch", batch, traceparent=SAMPLED)
    (span,) = collector.named("command batch")
    assert attributes(span)["hyperpage.commands"] == 3
    published = [
        *collector.named("publish app_state.set.v1", 2),
        *collector.named("publish app_state.deleted.v1"),
    ]
    assert {one.parent_span_id for one in published} == {span.span_id}
    assert len({attributes(one)["hyperpage.position"] for one in published}) == 3

    for _ in range(2):
        ask(
            traced,
            "hyperpage.cmd.v1.app_state.set",
            {"key": "again", "value": 1},
            Hyperpage_Command_Id="sent-twice",
        )
    first, second = collector.named("command app_state.set", 2)
    # The senders named no span, so each span is the root of a trace of its own.
    assert (first.parent_span_id, second.parent_span_id) == (b"", b"")
    again = [one for one in collector.named("publish app_state.set.v1", 3) if one.trace_id == second.trace_id]
    assert again == []

    refused = ask(traced, "hyperpage.cmd.v1.jobs.cancel", {"id": "not-there"}, traceparent=SAMPLED)
    assert refused["error"]["code"] == "not_found"
    (span,) = collector.named("command jobs.cancel")
    assert attributes(span)["hyperpage.outcome"] == "not_found"
    assert span.status.code == Status.STATUS_CODE_UNSET


def test_a_durable_command_is_consumed_and_what_its_sender_does_not_trace_is_not_traced(
    traced: Served, collector: Collector
):
    body = {"tool_name": "wrench"}
    unsampled = SAMPLED[:-2] + "00"
    ask(traced, "hyperpage.cmd.v1.tool_configs.disable", {"tool_name": "none"}, traceparent=unsampled)
    ask(traced, "hyperpage.dcmd.v1.tool_configs.set", body, traceparent=SAMPLED)
    (span,) = collector.named("command tool_configs.set")
    assert (span.kind, span.trace_id.hex()) == (Span.SPAN_KIND_CONSUMER, TRACE)
    collector.named("publish tool_config.set.v1")
    assert [one for one in collector.spans if one.name == "command tool_configs.disable"] == []


def test_without_an_sdk_there_is_nothing_that_a_command_could_cost(tmp_path: Path):
    async def scenario() -> None:
        async with serving(tmp_path / "data") as service:
            assert traces_if_wanted(service.names, service.version) is None

    asyncio.run(scenario())
    with sending_traces("0", {}) as is_sent:
        assert not is_sent
    with sending_traces("0", {"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "OTEL_SDK_DISABLED": "true"}) as is_sent:
        assert not is_sent


def test_an_sdk_that_is_wanted_and_not_installed_is_named_with_how_to_get_it(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with (
        caplog.at_level(logging.WARNING),
        sending_traces("0", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}) as is_sent,
    ):
        assert not is_sent
    assert "pip install '.[traces]'" in caplog.text
