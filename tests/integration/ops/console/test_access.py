"""The console by role, without a browser: the pages and buttons of each role, and refused requests."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ops.http.access.tokens import TokenFile
from tests.support.services.asking import HttpTalk
from tests.support.services.visiting import HOSTILE, Visitor, logged_in


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[HttpTalk]:
    """A service with default settings: a client needs a token."""
    with HttpTalk(tmp_path, http_open=False) as talk:
        yield talk


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[HttpTalk]:
    """A service that needs no token."""
    with HttpTalk(tmp_path / "open", http_open=True) as talk:
        yield talk


def test_whoever_has_no_session_is_sent_to_log_in_and_comes_back(talk: HttpTalk) -> None:
    TokenFile(talk.data).create("ops", "admin")

    sent = talk.get("/console/jobs?state=failed&tag=a%26b")

    assert sent.status_code == 303
    assert (
        sent.headers["location"] == "/console/login?next=%2Fconsole%2Fjobs%3Fstate%3Dfailed%26tag%3Da%2526b"
    )
    page = talk.get(sent.headers["location"])
    assert 'value="/console/jobs?state=failed&amp;tag=a%26b"' in page.text


def test_a_part_of_a_page_that_needs_a_session_leads_all_of_it_to_log_in(
    talk: HttpTalk,
) -> None:
    TokenFile(talk.data).create("ops", "admin")
    htmx = {"HX-Request": "true", "HX-Current-URL": f"{talk.url}/console/jobs?state=failed"}
    answer = talk.get("/console/jobs", headers=htmx)
    assert answer.status_code == 401
    assert answer.headers["hx-redirect"] == "/console/login?next=%2Fconsole%2Fjobs%3Fstate%3Dfailed"


def test_without_a_token_a_form_of_another_page_is_refused_all_the_same(opened: HttpTalk) -> None:
    opened.command("jobs.enqueue", {"id": "j", "type": "t", "name": "n"})
    form = {"verb": "cancel", "csrf_token": "guessed"}
    assert opened.ask("POST", "/console/jobs/j", data=form).status_code == 403
    cookie = {"Cookie": opened.get("/console").headers["set-cookie"].partition(";")[0]}
    assert opened.ask("POST", "/console/jobs/j", data=form, headers=cookie).status_code == 403
    assert opened.query("jobs.get", {"id": "j"}).said["state"] == "pending"


@pytest.mark.parametrize(
    "elsewhere",
    ["//example.com/console", "https://example.com", "/\\example.com", "/console\\..", "/api", ""],
)
def test_nobody_is_sent_elsewhere_by_a_link_to_log_in(talk: HttpTalk, elsewhere: str) -> None:
    TokenFile(talk.data).create("ops", "admin")
    page = talk.get("/console/login", params={"next": elsewhere})
    assert 'name="next" value="/console"' in page.text


def test_where_nobody_needs_a_token_the_console_opens_at_once_and_says_so(opened: HttpTalk) -> None:
    for path in ("/", "/console/login"):
        answer = opened.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    page = opened.get("/console").text
    assert "anonymous" in page
    assert "HTTP is open: no token is needed" in page


def test_a_wrong_token_is_told_and_opens_nothing(talk: HttpTalk) -> None:
    TokenFile(talk.data).create("ops", "admin")
    answer = talk.ask("POST", "/console/login", data={"token": HOSTILE, "next": "/console"})
    assert answer.status_code == 401
    assert "there is no such token" in answer.text
    assert "set-cookie" not in answer.headers
    assert HOSTILE not in answer.text


def test_a_session_ends_with_its_token_and_by_logging_out(talk: HttpTalk) -> None:
    reader = Visitor(talk, "read")
    assert reader.get("/console").status_code == 200
    assert reader.post("/console/logout").status_code == 303
    assert reader.get("/console").status_code == 303

    operator = Visitor(talk, "operate")
    TokenFile(talk.data).revoke("a-operate-token")
    assert operator.get("/console").status_code == 303


def test_who_has_an_expired_token_is_told_at_the_log_in_and_within_a_session(talk: HttpTalk) -> None:
    _, secret = TokenFile(talk.data).create("ops", "admin", lifetime_ms=-1)
    refused = talk.ask("POST", "/console/login", data={"token": secret, "next": "/console/jobs"})
    assert refused.status_code == 401
    assert "this token has expired; `hyperpage token list`" in html.unescape(refused.text)
    assert 'name="next" value="/console/jobs"' in refused.text

    assert "Your session has ended" not in talk.get("/console/login").text
    reader = Visitor(talk, "read")
    file = talk.data / "tokens.json"
    file.write_text(file.read_text().replace('"expires_at": null', '"expires_at": 1'))
    sent = reader.get("/console/jobs").headers["location"]
    assert sent == "/console/login?next=%2Fconsole%2Fjobs"
    page = reader.page(sent)
    assert "Your session has ended" in page
    assert 'name="next" value="/console/jobs"' in page
    # A form that comes after the end of the session is reported as not carried out.
    sent = reader.post("/console/jobs/j", verb="cancel", back="/console/jobs").headers["location"]
    late = reader.page(sent)
    assert "was not carried out" in late
    assert 'name="next" value="/console/jobs"' in late


def test_nobody_is_logged_out_by_another_page(talk: HttpTalk) -> None:
    reader = logged_in(talk, "read")
    for fields in ({}, {"csrf_token": "guessed"}):
        refused = talk.ask("POST", "/console/logout", headers=reader, data=fields)
        assert refused.status_code == 403
        assert refused.headers["content-type"] == "text/html; charset=utf-8"
    assert talk.get("/console", headers=reader).status_code == 200


def test_what_is_no_page_is_told_by_one(talk: HttpTalk) -> None:
    reader = Visitor(talk, "read")
    for path in ("/console/nothing", "/console/jobs/nobody", "/console/events/77"):
        answer = reader.get(path)
        assert answer.status_code == 404
        assert "To the overview" in answer.text


def test_pages_run_nothing_that_is_written_in_them(opened: HttpTalk) -> None:
    policy = opened.get("/console").headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
    assert "unsafe" not in policy

    opened.command("jobs.enqueue", {"type": HOSTILE, "name": HOSTILE, "tool": HOSTILE, "tags": [HOSTILE]})
    for path in ("/console/jobs", "/console/jobs?tag=" + HOSTILE):
        page = opened.get(path).text
        assert "alert(1)" in page
        assert "<script>alert" not in page
        assert re.search(r"<[^>]+ (on\w+|style)=", page) is None


def test_the_files_of_pages_are_theirs_alone_and_kept_as_long_as_they_are_the_same(opened: HttpTalk) -> None:
    page = opened.get("/console").text
    addresses = re.findall(r'(?:href|src)="(/console/static/[^"]+)"', page)
    assert len(addresses) >= 4
    for address in addresses:
        answer = opened.get(address)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "immutable" not in opened.get("/console/static/console.css?v=other").headers["cache-control"]
    assert opened.get("/console/static/../visit.py").status_code == 404
    assert opened.get("/console/static/nothing.js").status_code == 404


def test_behind_a_proxy_with_tls_forms_are_taken_from_its_pages_alone(tmp_path: Path) -> None:
    proxied = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1", "Host": "console.example.com"}
    with HttpTalk(
        tmp_path, http_hosts=("console.example.com",), http_proxies=("127.0.0.1",), http_open=False
    ) as talk:
        _, secret = TokenFile(talk.data).create("ops", "operate")

        def log_in(origin: str) -> httpx.Response:
            headers = {**proxied, "Origin": origin}
            return talk.ask("POST", "/console/login", headers=headers, data={"token": secret})

        assert log_in("https://example.com").status_code == 403
        ours = log_in("https://console.example.com")
    assert ours.status_code == 303
    assert "; Secure" in ours.headers["set-cookie"]
