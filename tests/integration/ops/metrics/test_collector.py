"""The metrics of a real service, and their use in the guide, the dashboard and the alerts."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from bus.replication.leader_watch import LeaderWatch
from ops import deploy
from ops.backup.create import create_backup
from ops.backup.drill import drill
from tests.support.clock import HOUR_MS
from tests.support.clusters.electing import UNHURRIED
from tests.support.documents.guides import guide
from tests.support.patience import patiently, until, wait_for
from tests.support.repository import ROOT
from tests.support.services.asking import HttpTalk

DEPLOY = Path(deploy.__file__).parent
GUIDE = guide("operating.md")
OURS = re.compile(r"\b(?:hyperpage|process|python)_[a-z0-9_]+\b")
OPEN_METRICS = {"accept": "application/openmetrics-text; version=1.0.0"}

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpTalk]:
    """A service that has done some of everything."""
    folder = tmp_path_factory.mktemp("metrics")
    # The only member of its cluster.
    log: Any = {"replication": "sync", "replication_replicas": 1, "member": "a"}
    with (
        # A long lease, so that it leads all the time, on a busy machine, too.
        patch("ops.service.roles.cluster.LeaderWatch", partial(LeaderWatch, life=UNHURRIED)),
        HttpTalk(folder, health_interval_seconds=0.1, integrity_check_minutes=0.01, **log) as talk,
    ):
        job = {"type": "sync", "name": "x"}
        talk.command("jobs.enqueue", job, id="once")
        talk.command("jobs.enqueue", job, id="once")
        talk.command("jobs.enqueue", {"type": 1})
        talk.command("jobs.complete", {"id": "nobody", "lease": "none"})
        talk.command("no.such.command")
        accepted = {"command": "jobs.enqueue", "body": job}
        refused = {"command": "jobs.cancel", "body": {"id": "nobody"}}
        malformed = {"command": "jobs.enqueue", "body": {}}
        talk.batch(accepted, accepted, refused, malformed)
        talk.batch(accepted, refused, atomic=True)
        talk.command("jobs.claim", {"worker": "w"})
        talk.command("jobs.enqueue", job | {"queue": "mails", "max_attempts": 1})
        [failing] = talk.command("jobs.claim", {"worker": "w", "queue": "mails"}).said["result"]["jobs"]
        talk.command("jobs.fail", {"id": failing["id"], "lease": failing["lease"], "error": "no"})
        hour = {"limit": 5_000, "remaining": 60, "reset_time": time.time_ns() // 10**6 + HOUR_MS}
        talk.command("rate_limits.observe", {"platform": "github", "resource": "core", **hour})
        talk.query("jobs.list")
        talk.query("jobs.get", {"id": "nobody"})
        talk.get("/livez")
        talk.get("/nowhere")
        store, backups = talk.settings.store_path, talk.settings.backup_folder
        drill(create_backup(store, backups, version="0").path)
        talk.run(until(lambda: talk.service.health.look.backups.last_proven_at))
        talk.run(until(lambda: talk.service.health.dead_letters is not None))
        talk.run(until(lambda: talk.service.health.work.state.limits))
        talk.run(until(lambda: talk.service.health.room.state.parts))
        talk.run(until(lambda: talk.service.health.checks.integrity.checked_at))
        talk.run(until(lambda: talk.service.cluster.standing.state.log is not None))
        yield talk


def samples(talk: HttpTalk) -> Samples:
    """Every sample by its name and labels."""
    response = talk.get("/metrics")
    assert response.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def labelled(found: Samples, name: str) -> dict[tuple[str, ...], float]:
    """The samples of one name, by the values of their labels in the labels' order."""
    return {
        tuple(value for _, value in labels): number
        for (each, labels), number in found.items()
        if each == name
    }


def test_commands_are_counted_one_by_one_by_what_became_of_them(busy: HttpTalk):
    counted = labelled(samples(busy), "hyperpage_commands_total")
    # Commands of the service's own are among them.
    assert {key: value for key, value in counted.items() if key[0] != "jobs.rescue"} == {
        # Two single commands and two of the first batch; the one of the atomic batch was undone.
        ("jobs.enqueue", "accepted"): 4,
        ("jobs.enqueue", "repeated"): 1,
        ("jobs.enqueue", "invalid"): 1,
        ("jobs.enqueue", "not_found"): 1,
        ("jobs.complete", "not_found"): 1,
        ("jobs.cancel", "not_found"): 2,
        ("jobs.claim", "accepted"): 2,
        ("jobs.fail", "accepted"): 1,
        ("rate_limits.observe", "accepted"): 1,
        # An unknown command, and the malformed part of a batch.
        ("unknown", "not_found"): 1,
        ("unknown", "invalid"): 1,
    }


def test_times_are_counted_once_for_each_request(busy: HttpTalk):
    found = samples(busy)
    durations = labelled(found, "hyperpage_command_duration_seconds_count")
    assert durations == {
        ("jobs.enqueue",): 4,
        ("jobs.complete",): 1,
        ("jobs.claim",): 2,
        ("jobs.fail",): 1,
        ("rate_limits.observe",): 1,
        ("batch",): 2,
    }
    buckets = labelled(found, "hyperpage_command_duration_seconds_bucket")
    assert buckets["jobs.enqueue", "+Inf"] == 4
    seconds = labelled(found, "hyperpage_command_duration_seconds_sum")["jobs.enqueue",]
    assert 0 < seconds < patiently(3)
    # Seven groups with events: of six commands, and of a batch.
    assert found["hyperpage_commit_duration_seconds_count", ()] == 7
    assert found["hyperpage_group_commands_sum", ()] >= 13
    queries = labelled(found, "hyperpage_queries_total")
    assert (queries["answered", "jobs.list"], queries["not_found", "jobs.get"]) == (1, 1)
    assert labelled(found, "hyperpage_http_requests_total").items() >= {("GET", "404"): 1.0}.items()
    # At least the connection of the scrape itself.
    assert found["hyperpage_http_connections", ()] >= 1
    assert found["hyperpage_http_connections_ended_total", ()] == 0


def test_the_state_is_that_of_the_status(busy: HttpTalk):
    found, status = samples(busy), busy.status
    assert found["hyperpage_log_position", ()] == status["position"] == 9
    assert found["hyperpage_events_total", ()] == 9
    jobs = {name: number for name, number in labelled(found, "hyperpage_jobs").items() if number}
    assert jobs == {("default", "due"): 2, ("default", "running"): 1}
    assert labelled(found, "hyperpage_jobs_oldest_overdue_seconds")["default",] > 0
    assert status["jobs"]["oldest_overdue_queue"] == "default"
    assert (
        status["jobs"]["failed_jobs_in_an_hour"]
        == labelled(found, "hyperpage_jobs_failed_total")["mails", "sync"]
        == 1
    )
    assert labelled(found, "hyperpage_job_attempts_failed_total") == {("failed", "mails", "sync"): 1}
    assert labelled(found, "hyperpage_rate_limit_remaining") == {("github", "core"): 60}
    assert found["hyperpage_backups", ()] == 1
    made_at = found["hyperpage_backup_last_timestamp_seconds", ()]
    assert made_at == found["hyperpage_backup_last_proven_timestamp_seconds", ()]
    assert made_at * 1000 == status["backups"]["last_at"]
    assert found["hyperpage_store_size_bytes", ()] == status["store"]["size_bytes"]
    statuses = {name: value for (name,), value in labelled(found, "hyperpage_health_status").items()}
    assert sum(statuses.values()) == 1
    assert statuses[status["status"]] == 1


def test_the_newer_format_is_given_to_who_asks_for_it(busy: HttpTalk):
    response = busy.get("/metrics", headers=OPEN_METRICS)
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert {family.name for family in open_metrics(response.text)} >= {
        "hyperpage_commands",
        "hyperpage_build",
    }


def test_labels_are_of_what_there_is_and_not_of_what_was_sent(busy: HttpTalk):
    before = len(samples(busy))
    for number in range(5):
        busy.command(f"jobs.no-such-verb-{number}")
        busy.query(f"jobs.no-such-verb-{number}")
        busy.ask(f"METHOD{number}", f"/nowhere-{number}")
    text = busy.get("/metrics").text
    assert "no-such-verb" not in text
    assert "METHOD" not in text
    # The new methods count as `other`: one more series for each status that they had.
    assert len(samples(busy)) <= before + 3


def test_the_wait_for_the_log_is_apart_from_the_commit(busy: HttpTalk):
    found = samples(busy)
    groups = found["hyperpage_replication_duration_seconds_count", ()]
    assert groups >= found["hyperpage_commit_duration_seconds_count", ()] > 0
    waited = found["hyperpage_replication_duration_seconds_sum", ()]
    assert waited > 0
    whole = found["hyperpage_group_duration_seconds_sum", ()]
    assert waited + found["hyperpage_commit_duration_seconds_sum", ()] <= whole


def test_a_member_tells_of_its_cluster(busy: HttpTalk):
    # It looks at its log every other second.
    wait_for(lambda: samples(busy)["hyperpage_cluster_log_messages", ()] > 0)
    found = samples(busy)
    assert found["hyperpage_cluster_led", ()] == found["hyperpage_cluster_term", ()] == 1
    assert labelled(found, "hyperpage_cluster_members") == {("leader",): 1}
    assert labelled(found, "hyperpage_cluster_member_lag_events") == {("a",): 0}
    assert found["hyperpage_cluster_log_copies_available", ()] == 1


def test_the_guide_lists_the_metrics_that_there_are(busy: HttpTalk):
    families = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(busy.get("/metrics").text)
        if family.name.startswith("hyperpage_")
    }
    assert set(re.findall(r"^\| `(hyperpage_\w+)[`{]", GUIDE, re.MULTILINE)) == families


def expressions(name: str) -> list[str]:
    """The metrics that a file asks Prometheus for."""
    text = (DEPLOY / name).read_text(encoding="utf-8")
    if name.endswith(".yml"):
        return re.findall(r"^\s+expr: (?:\|\n(?:\s{10}.*\n)+|.*)", text, re.MULTILINE)
    dashboard = json.loads(text)
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [*targets, dashboard["annotations"]["list"][0]["target"]["expr"]]


# Metrics without a sample here: this service is healthy, and has measured its room only once.
SILENT = {
    "hyperpage_health_cause": {"cause", "level"},
    "hyperpage_room_growth_bytes": {"part"},
}
# Labels that Prometheus adds to each metric.
OF_THE_TARGET = {"instance", "job"}


@pytest.mark.parametrize("name", ["alert-rules.yml", "grafana-dashboard.json"])
def test_every_metric_that_is_asked_for_exists_with_its_labels(busy: HttpTalk, name: str):
    known = {name: labels | OF_THE_TARGET for name, labels in SILENT.items()}
    for each, labels in samples(busy):
        known.setdefault(each, set(OF_THE_TARGET)).update(label for label, _ in labels)
    asked = expressions(name)
    assert len(asked) >= 20
    for expression in asked:
        used = set(OURS.findall(expression))
        assert used or expression.strip() == 'expr: up{job="hyperpage"} == 0'
        assert used <= known.keys(), expression
        for metric, selected in re.findall(r"(\w+)\{([^}]*)\}", expression):
            if metric in used:
                assert set(re.findall(r'(\w+)=~?"', selected)) <= known[metric], expression
        grouped = re.findall(r"(?:by|on) \(([^)]*)\)", expression)
        grouping = {label.strip() for group in grouped for label in group.split(",")}
        assert grouping <= set().union(*(known[metric] for metric in used)), expression


def test_each_alert_says_what_it_means_and_names_the_line_that_says_what_to_do():
    rules = (DEPLOY / "alert-rules.yml").read_text(encoding="utf-8")
    alerts = re.findall(r"- alert: (\w+)\n(.*?)(?=\n\n|\Z)", rules, re.DOTALL)
    assert len(alerts) >= 30
    for name, rule in alerts:
        assert re.search(r'^ +summary: ".*\$labels\.instance', rule, re.MULTILINE), name
        assert re.search(r'^ +description: ".+"$', rule, re.MULTILINE), name
        assert f'runbook: "docs/operating.md#{name}"' in rule, name
    lines = re.findall(r'^\| <a id="(\w+)"></a>`(\w+)` \| .+ \| .+ \|$', GUIDE, re.MULTILINE)
    assert lines == [(name, name) for name, _ in alerts]


def test_the_alerts_fire_when_they_should_and_not_otherwise(tmp_path: Path):
    shutil.copy(DEPLOY / "alert-rules.yml", tmp_path)
    shutil.copy(ROOT / "tests" / "support" / "documents" / "alert-rules-test.yml", tmp_path)
    promtool(tmp_path, "test", "rules", "alert-rules-test.yml")


def test_prometheus_takes_every_expression_of_the_dashboard(tmp_path: Path):
    rules = [
        {"record": f"dashboard:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(expressions("grafana-dashboard.json"))
    ]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool(tmp_path, "check", "rules", "rules.yml")


def test_panels_of_the_last_hour_leave_out_what_failed_before_prometheus_looked(tmp_path: Path):
    asked = [one for one in expressions("grafana-dashboard.json") if "offset 1h" in one]
    assert len(asked) == 3
    of_a_job = 'instance="a",queue="q",type="t"'
    known = {
        'up{instance="a"}': 1,
        'process_start_time_seconds{instance="a"}': -90_000,
        f"hyperpage_jobs_failed_total{{{of_a_job}}}": 40,
        f'hyperpage_job_attempts_failed_total{{{of_a_job},outcome="failed"}}': 40,
    }
    nothing = [
        {
            "expr": f"sum({one.replace('$instance', '.*')})",
            "eval_time": "30m",
            "exp_samples": [{"labels": "{}", "value": 0}],
        }
        for one in asked
    ]
    series = [{"series": name, "values": f"{value}x60"} for name, value in known.items()]
    checked = {"interval": "1m", "input_series": series, "promql_expr_test": nothing}
    (tmp_path / "panels.yml").write_text(json.dumps({"tests": [checked]}))
    promtool(tmp_path, "test", "rules", "panels.yml")


def promtool(folder: Path, *command: str) -> None:
    """Has Prometheus's checker say that all is well; skips the test where it cannot be had."""
    program = shutil.which("promtool") or shutil.which("promtool", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("there is no promtool (`.ci/promtool` gets it)")
    done: Any = subprocess.run([program, *command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
