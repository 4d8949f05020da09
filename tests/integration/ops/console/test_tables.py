"""The console's pages of rate limits, state and dead letters, and what is done there."""

import html
import json
import re
from contextlib import closing
from html import unescape
from typing import Any

import pytest

from migrations.connection import open_writer
from tests.support.clock import Clock
from tests.support.services.asking import HttpTalk
from tests.support.services.visiting import HOSTILE, Visitor, buttons
from tests.support.services.watching import eventually, number_of_letters

LIMIT = {"platform": "github", "resource": "core"}
LIMIT_PAGE = "/console/rate_limits/github%3Acore"
KEY = "sync/acme"
KEY_PAGE = "/console/app_state/sync%2Facme"
PROJECTIONS = "/console/projections"
LETTERS = "/console/dead_letters"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def observe(talk: HttpTalk, clock: Clock, *remaining: int) -> None:
    """Observations a minute apart, of a window that ends an hour after the first."""
    reset_time = clock.now + 3_600_000
    for left in remaining:
        body = {
            **LIMIT,
            "remaining": left,
            "limit": 5_000,
            "reset_time": reset_time,
            "observed_at": clock.now,
        }
        assert talk.command("rate_limits.observe", body).code is None
        clock.now += 60_000


def chart_of(page: str) -> Any:
    found = re.search(r'data-chart="([^"]+)"', page)
    assert found is not None
    return json.loads(unescape(found[1]))


def test_a_limit_shows_what_was_left_and_where_that_leads(
    talk: HttpTalk, clock: Clock, operator: Visitor
) -> None:
    observe(talk, clock, 5_000)
    assert "A chart needs two observations." in operator.page(LIMIT_PAGE)
    observe(talk, clock, 4_000, 3_000)

    page = operator.page(LIMIT_PAGE)
    chart = chart_of(page)
    left, forecast = (one["values"] for one in chart["series"])

    assert [value for value in left if value is not None] == [5_000, 4_000, 3_000]
    # 1,000 a minute: nothing is left three minutes after the last observation.
    assert [value for value in forecast if value is not None] == [3_000, 0]
    assert chart["x"] == sorted(chart["x"])
    assert chart["x"][-1] - chart["x"][-2] == 180
    assert "before the reset" in page
    assert "for calls" not in page
    for name in ("a", "b"):
        body = {"id": f"calls-{name}", "type": "sync", "budget": {**LIMIT, "cost": 5_000}}
        assert talk.command("jobs.enqueue", body).code is None
    assert "2 jobs wait for calls, free at" in operator.page(LIMIT_PAGE)
    assert talk.command("jobs.cancel", {"id": "calls-a", "reason": "too dear"}).code is None
    assert ": too dear</dd>" in operator.page("/console/jobs/calls-a")
    group: dict[str, Any] = {"type": "sync", "group_id": "import-7"}
    for body in (
        group | {"id": "member"},
        group,
        {"id": "next", "type": "t", "after_group": {"id": "import-7"}},
    ):
        assert talk.command("jobs.enqueue", body).code is None
    assert talk.command("jobs.cancel", {"id": "member"}).code is None
    assert "1 of 2 have ended, 1 cancelled</dd>" in operator.page("/console/jobs/member")
    assert "once all have completed</dd>" in operator.page("/console/jobs/next")
    assert operator.page("/console/jobs?group_id=import-7").count('class="row-link"') == 2
    assert "github core" in operator.page("/console/rate_limits?level=normal")
    assert "No limit is like this." in operator.page("/console/rate_limits?level=critical")
    for unknown in ("nobody", "a:b:c:d"):
        assert operator.get(f"/console/rate_limits/{unknown}").status_code == 404


def test_a_limit_is_throttled_given_thresholds_and_forgotten(
    talk: HttpTalk, clock: Clock, operator: Visitor
) -> None:
    observe(talk, clock, 4_000, 3_900)

    told = operator.does(LIMIT_PAGE, verb="throttle", minutes="15", reason=HOSTILE)
    assert told == "No calls for 15 min, for all who ask"
    assert talk.query("rate_limits.may_call", LIMIT).said["retry_at"] == clock.now + 15 * 60_000
    assert "<script>alert" not in operator.page(LIMIT_PAGE)
    assert "a number from 1 to" in operator.does(LIMIT_PAGE, verb="throttle", minutes="1e9")

    operator.does(LIMIT_PAGE, verb="thresholds", warning_percent="10", critical_percent="50")
    assert talk.query("rate_limits.get", LIMIT).said["level"] == "warning"

    operator.does(LIMIT_PAGE, verb="clear")
    assert talk.query("rate_limits.get", LIMIT).code == "not_found"
    assert "was forgotten" in operator.page(LIMIT_PAGE)


def test_a_key_shows_what_it_holds_and_held(talk: HttpTalk, operator: Visitor) -> None:
    talk.command("app_state.set", {"key": KEY, "value": {"n": "first"}})
    talk.command("app_state.set", {"key": KEY, "value": {"n": HOSTILE}})
    talk.command("app_state.set", {"key": "other", "value": 1})

    listed = operator.page("/console/app_state")
    assert "2 keys" in listed
    assert "other" not in operator.page("/console/app_state?prefix=sync/")
    for page in (listed, operator.page(KEY_PAGE)):
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page
    then = operator.page(f"{KEY_PAGE}?position=1")
    assert "At position 1" in then
    assert "first" in then
    assert "It held nothing then." in operator.page("/console/app_state/other?position=2")
    assert operator.get("/console/app_state/nothing").status_code == 404


def test_a_key_is_changed_as_it_was_seen_or_not_at_all(talk: HttpTalk, operator: Visitor) -> None:
    talk.command("app_state.set", {"key": KEY, "value": 1})

    assert (
        operator.does(KEY_PAGE, verb="set", version="1", value='{"a": [1]}') == "The key holds the new value"
    )
    assert talk.query("app_state.get", {"key": KEY}).said["value"] == {"a": [1]}
    # A form from a page that was loaded before the change.
    assert "version" in operator.does(KEY_PAGE, verb="set", version="1", value="2")
    assert "JSON" in operator.does(KEY_PAGE, verb="set", version="2", value="nonsense")
    assert talk.query("app_state.get", {"key": KEY}).said["value"] == {"a": [1]}

    operator.does(KEY_PAGE, verb="delete", version="2")
    assert "It holds nothing." in operator.page(KEY_PAGE)
    operator.does(KEY_PAGE, verb="set", version="3", value="3")
    assert talk.query("app_state.get", {"key": KEY}).said["value"] == 3


def test_a_value_that_is_refused_is_there_to_be_corrected_without_its_credential(
    talk: HttpTalk, operator: Visitor
) -> None:
    talk.command("app_state.set", {"key": KEY, "value": "before"})
    typed = '{"a name": "ghp_0123456789abcdefghijklmnopqrstuvwxyz", "pages": "seventy-seven"}'
    refused = operator.post(KEY_PAGE, version="1", value=typed)
    page = html.unescape(operator.page(refused.headers["location"]))
    assert '(at $.value["a name"])' in page
    assert '"pages": "seventy-seven"' in page
    assert '"a name": "${env:NAME}"' in page
    assert "ghp_" not in page
    # The refused value is shown once; afterwards the page shows the stored value.
    assert "seventy-seven" not in operator.page(KEY_PAGE)
    # A credential that is a key of the value cannot be replaced, so nothing is shown again.
    refused = operator.post(
        KEY_PAGE, version="1", value='{"ghp_0123456789abcdefghijklmnopqrstuvwxyz": "seventy-eight"}'
    )
    page = operator.page(refused.headers["location"])
    assert ("ghp_" in page, "seventy-eight" in page) == (False, False)


def test_dead_letters_are_listed_for_all_and_settled_by_administrators(talk: HttpTalk) -> None:
    for number in range(3):
        body = json.dumps({"key": f"k{number}", "valeu": HOSTILE}).encode()
        headers = {"Hyperpage-Command-Id": f"c{number}"}
        talk.run(talk.client.request("hyperpage.dcmd.v1.app_state.set", body, headers))
    eventually(talk, number_of_letters(talk, 3))
    operator, administrator = Visitor(talk, "operate"), Visitor(talk, "admin")

    page = operator.page(LETTERS)
    assert page.count("app_state.set") == 3
    assert "valeu" not in page.replace("valeu`", "")
    assert buttons(page) == []
    assert operator.get(f"{LETTERS}/1").status_code == 403
    assert operator.post(LETTERS, verb="drop", all="yes").status_code == 403

    letter = administrator.page(f"{LETTERS}/1")
    assert "&lt;script&gt;alert(1)" in letter
    assert "<script>alert" not in letter
    # Looking at a dead letter is no administrative act.
    assert talk.administer("audit.list", {"action": "dlq.*"}).said["items"] == []
    assert administrator.does(LETTERS, verb="drop", sequence="1") == "1 dead letter was dropped"
    assert "there is no dead letter 1" in administrator.does(LETTERS, verb="drop", sequence="1")
    assert "either a sequence or all" in administrator.does(LETTERS, verb="drop")
    assert administrator.does(LETTERS, verb="replay", all="yes") == "2 dead letters were replayed"
    # They are as wrong as they were.
    eventually(talk, number_of_letters(talk, 2))
    assert administrator.does(LETTERS, verb="drop", all="yes") == "2 dead letters were dropped"
    assert "There is no dead letter" in administrator.page(LETTERS)


def test_projections_are_verified_and_rebuilt_while_somebody_looks_on(talk: HttpTalk) -> None:
    for number in range(20):
        talk.command("app_state.set", {"key": f"k{number}", "value": number})
    operator, administrator = Visitor(talk, "operate"), Visitor(talk, "admin")
    assert "Nothing was checked" in operator.page(PROJECTIONS)
    assert "Rebuild" not in buttons(operator.page(PROJECTIONS))
    assert operator.post(f"{PROJECTIONS}/rebuild").status_code == 403

    assert operator.post(f"{PROJECTIONS}/verify").status_code == 303
    operator.waits_for(PROJECTIONS, "Every row is what the log makes it, up to position 20")
    assert "20 compared, all equal" in operator.page(PROJECTIONS)

    with closing(open_writer(talk.settings.store_path)) as store:
        store.execute("UPDATE app_state SET value = 7 WHERE key = 'k1'")
    assert operator.post(f"{PROJECTIONS}/verify").status_code == 303
    operator.waits_for(PROJECTIONS, "There are rows that are not what the log makes them")
    assert "0 missing, 0 unexpected, 1 different" in operator.page(PROJECTIONS)
    assert administrator.post(f"{PROJECTIONS}/rebuild").status_code == 303
    administrator.waits_for(PROJECTIONS, "the rows of 1 stream;")
    assert talk.query("app_state.get", {"key": "k1"}).said["value"] == 1


def test_who_may_only_read_sees_no_buttons_and_is_refused(talk: HttpTalk, clock: Clock) -> None:
    observe(talk, clock, 4_000)
    talk.command("app_state.set", {"key": KEY, "value": 1})
    reader = Visitor(talk, "read")

    assert buttons(reader.page(LIMIT_PAGE)) == []
    assert buttons(reader.page(KEY_PAGE)) == ["Look"]
    for path, verb in ((LIMIT_PAGE, "clear"), (KEY_PAGE, "delete"), (LETTERS, "drop")):
        assert reader.post(path, verb=verb, version="1", all="yes").status_code == 403
    assert talk.position == 2


def test_the_audit_log_is_for_administrators_who_look_through_it_and_verify_it(talk: HttpTalk) -> None:
    operator, administrator = Visitor(talk, "operate"), Visitor(talk, "admin")
    assert operator.get("/console/audit").status_code == 403
    assert "/console/audit" not in operator.page("/console")
    assert "/console/audit" in administrator.page("/console")

    talk.administer("backup.create", {"description": HOSTILE})
    page = administrator.page("/console/audit").replace("<wbr>", "")
    assert "backup.create" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert "backup.<wbr>create" not in administrator.page("/console/audit?action=token.*")
    assert "There is no such line." in administrator.page("/console/audit?actor=nobody")

    assert "follows from the one before" in administrator.does("/console/audit/verify")
    file = talk.data / "audit" / "audit-000001.jsonl"
    file.write_bytes(file.read_bytes().replace(b"backup.create", b"backup.delete", 1))
    assert "The log was changed: audit-000001.jsonl, line " in administrator.does("/console/audit/verify")
