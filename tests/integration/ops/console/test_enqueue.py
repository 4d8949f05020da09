"""Enqueueing a job by a form: once, or the form comes back with what was typed and its errors."""

import html

import pytest

from tests.support.services.asking import HttpTalk
from tests.support.services.visiting import HOSTILE, Visitor

FORM = "/console/jobs/-/new"


@pytest.fixture(scope="module")
def at_form(shared: HttpTalk) -> Visitor:
    """A user whose forms are all refused, so that no job is enqueued."""
    return Visitor(shared, "operate")


def test_a_form_makes_a_job_once_and_leads_to_it(talk: HttpTalk, operator: Visitor) -> None:
    assert 'value="mail/out"' in operator.page(f"{FORM}?queue=mail/out")
    fields = {
        "type": "sync",
        "name": "By hand",
        "queue": "mail/out",
        "priority": "4",
        # Written as no float is.
        "payload": '{"amount": 0.10000000000000000001,\r\n "list": [1]}',
        "run_at": "2100-01-01T08:00",
        "max_attempts": "3",
        "tags": " a, b,,a ",
    }
    [location] = {operator.post(FORM, **fields, command_id="e1").headers["location"] for _ in range(2)}
    assert "By hand" in operator.page(location)
    [job] = talk.query("jobs.list").said["items"]
    expected = {
        "type": "sync",
        "queue": "mail/out",
        "priority": 4,
        "run_at": 4_102_473_600_000,
        "max_attempts": 3,
        "tags": ["a", "b"],
        "state": "scheduled",
    }
    assert {name: job[name] for name in expected} == expected
    [made] = talk.query("jobs.history", {"id": job["id"]}).said["items"]
    assert made["actor"] == "a-operate-token"
    assert b"0.10000000000000000001" in talk.query("jobs.get", {"id": job["id"]}).body


@pytest.mark.parametrize(
    ("field", "written", "problem"),
    [
        ("payload", '{"a": 1,\r\n "b": x}', "in line 2, column 7"),
        ("payload", '{"a": [1,', "truncated"),
        ("payload", "[1]", "not a JSON object"),
        ("payload", '{"a": 1, "a": 2}', "twice"),
        ("payload", '{"token": "ghp_0123456789abcdefghijklmnopqrstuvwxyz"}', "credential"),
        ("run_at", "soon", "in UTC"),
        ("max_attempts", "many", "a number"),
        ("max_attempts", "9999", "1000"),
        ("queue", HOSTILE, "not a key"),
        ("priority", "9", "4"),
        ("tags", "x" * 101, "100"),
        ("type", "", "length"),
    ],
)
def test_what_is_refused_comes_back_as_it_was_typed_with_the_field_that_is_wrong(
    shared: HttpTalk, at_form: Visitor, field: str, written: str, problem: str
) -> None:
    refused = at_form.post(FORM, **{"type": "sync", "name": HOSTILE, field: written})
    assert refused.status_code in (400, 422)
    notice = refused.text.partition('id="problem">')[2].partition("</div>")[0]
    assert problem in notice
    assert "hyperpage schema" not in notice
    assert f'name="{field}"' in refused.text.partition(' aria-invalid="true"')[0].rpartition("<")[2]
    assert refused.text.count("aria-invalid") == 1
    assert "&lt;script&gt;alert(1)" in refused.text
    assert "<script>alert" not in refused.text
    assert "ghp_0" not in refused.text
    assert shared.query("jobs.count").said["count"] == 0


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (
            '{"token": "%s",\r\n "amount": 0.10000000000000000001}',
            '{"token": "${env:NAME}",\r\n "amount": 0.10000000000000000001}',
        ),
        # The form shows no text that could be enqueued without being read again.
        ('{"token": "%s",', "left out, since it holds a credential"),
    ],
)
def test_a_payload_comes_back_without_its_credential_and_is_not_changed_or_emptied_unseen(
    shared: HttpTalk, at_form: Visitor, payload: str, shown: str
) -> None:
    typed = payload % "ghp_0123456789abcdefghijklmnopqrstuvwxyz"
    refused = at_form.post(FORM, type="sync", name="n", payload=typed)
    assert html.unescape(refused.text.partition("<textarea")[2].partition(">")[2].partition("<")[0]) == shown
    if shown == "left out, since it holds a credential":
        assert "not a JSON object" in at_form.post(FORM, type="sync", name="n", payload=shown).text
    assert shared.query("jobs.count").said["count"] == 0


def test_who_may_only_read_has_no_form(shared: HttpTalk) -> None:
    reader = Visitor(shared, "read")
    assert "Enqueue" not in reader.page("/console/jobs")
    for refused in (reader.get(FORM), reader.post(FORM, type="t", name="n")):
        assert refused.status_code == 403
    assert shared.query("jobs.count").said["count"] == 0
