"""Access to the HTTP API: tokens and roles, and requests that are refused before they are looked at."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.http.access import sessions
from ops.http.access.tokens import Token, TokenFile, Tokens
from ops.http.layers.throttle import ALLOWED_GUESSES
from ops.http.server import HttpServerError
from ops.security.users import UserFile, rights_of
from ops.store.data_directory import read_admin
from tests.support.patience import wait_for
from tests.support.services.asking import HttpTalk, problem

# The name of a media type has no case.
FORM = {"Content-Type": "Application/X-WWW-Form-Urlencoded; charset=utf-8"}
SET = "/api/v1/app_state/set"


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def token(talk: HttpTalk, role: str) -> dict[str, str]:
    """The header of a new token with that role."""
    _, secret = TokenFile(talk.data).create(f"a-{role}-token", role)  # type: ignore[arg-type]
    return bearer(secret)


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[HttpTalk]:
    """A service with default settings: a client needs a token."""
    with HttpTalk(tmp_path, http_open=False) as talk:
        yield talk


def test_without_any_token_nobody_is_let_in(talk: HttpTalk) -> None:
    for method, path in (
        ("GET", "/session"),
        ("GET", "/api/v1/jobs"),
        ("GET", "/api/v1/events"),
        ("GET", "/metrics"),
        ("GET", "/readyz?verbose"),
        ("POST", SET),
        ("POST", "/api/v1/admin/projections/verify"),
        ("POST", "/api/v1/backups"),
        ("PUT", "/api/backup"),
        ("GET", "/console/tail/stream"),
    ):
        refused = problem(talk.ask(method, path), 401, "unauthorized")
        assert "hyperpage token create" in refused["hint"]
    assert talk.get("/console").headers["location"] == "/console/login"
    assert talk.post("/console/jobs/j").headers["location"].startswith("/console/login?next=")
    for path in ("/livez", "/readyz", "/openapi.json"):
        assert talk.get(path).status_code == 200
    assert talk.get("/openapi.json").json()["security"] == [{"bearer": []}, {"session": []}]


def test_where_the_operator_says_so_nobody_needs_a_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), HttpTalk(tmp_path, http_open=True) as talk:
        assert talk.get("/session").json() == {"name": "anonymous", "role": "admin", "csrf_token": None}
        assert talk.post(SET, {"key": "a", "value": 1}).status_code == 200
        status = wait_for(lambda: (said := talk.query("service.status").said)["status"] == "healthy" and said)
        assert [note["note"] for note in status["notes"]] == ["http_open"]
        assert "HTTP is open" in talk.get("/console").text
    assert "HTTP is open" in caplog.text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.0.0.1.example"])
def test_beyond_this_machine_it_is_never_open(tmp_path: Path, host: str) -> None:
    address = f"[{host}]:0" if ":" in host else f"{host}:0"
    with pytest.raises(HttpServerError, match="HTTP"), HttpTalk(tmp_path, http=address, http_open=True):
        pass


def test_from_the_first_token_on_nobody_comes_without_one(talk: HttpTalk) -> None:
    reader = token(talk, "read")

    refused = talk.get("/api/v1/jobs")
    problem(refused, 401, "unauthorized")
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert talk.get("/api/v1/jobs", headers=reader).status_code == 200

    TokenFile(talk.data).revoke("a-read-token")

    problem(talk.get("/api/v1/jobs", headers=reader), 401, "unauthorized")
    # Deleting the last token does not open the API again.
    problem(talk.get("/api/v1/jobs"), 401, "unauthorized")


def test_a_role_may_do_what_it_is_for(talk: HttpTalk) -> None:
    reader, operator = token(talk, "read"), token(talk, "operate")

    assert talk.get("/api/v1/app_state", headers=reader).status_code == 200
    refused = problem(talk.post(SET, {"key": "a", "value": 1}, headers=reader), 403, "forbidden")
    assert refused["details"] == {"needed": "operate", "role": "read"}
    assert talk.post(SET, {"key": "a", "value": 1}, headers=operator).status_code == 200


def test_the_bearer_of_a_token_is_looked_up_once_for_a_request(
    talk: HttpTalk, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = token(talk, "operate")
    looked_up: list[str] = []
    still_good = Tokens.still_good

    def counted(tokens: Tokens, token_hash: str) -> Token | None:
        looked_up.append(token_hash)
        return still_good(tokens, token_hash)

    monkeypatch.setattr(Tokens, "still_good", counted)

    # One request uses the token three times: to be let in, for the command's role, and as its actor.
    assert talk.post(SET, {"key": "a", "value": 1}, headers=operator).status_code == 200
    assert len(looked_up) == 1


def test_the_tokens_are_kept_as_hashes_that_their_owner_alone_can_read(talk: HttpTalk) -> None:
    secret = token(talk, "admin")["Authorization"].removeprefix("Bearer ")
    file = talk.data / "tokens.json"

    assert secret not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_who_guesses_tokens_waits_and_who_has_one_does_not(talk: HttpTalk) -> None:
    reader, late = token(talk, "read"), token(talk, "operate")
    assert talk.get("/session", headers=reader).status_code == 200

    for number in range(ALLOWED_GUESSES):
        problem(talk.get("/session", headers=bearer(f"hpt_{number}")), 401, "unauthorized")
    statuses = {talk.get("/session", headers=bearer(f"hpt_{n}")).status_code for n in range(3)}

    assert 429 in statuses
    # A good token that was not seen before the guessing is refused, too: it might be a lucky guess.
    refused = talk.get("/session", headers=late)
    problem(refused, 429, "too_many_requests")
    assert int(refused.headers["retry-after"]) >= 1
    assert talk.get("/session", headers=reader).status_code == 200


def test_who_comes_through_a_proxy_is_not_taken_for_somebody_on_this_machine(tmp_path: Path) -> None:
    with HttpTalk(tmp_path, http_open=True) as talk:
        problem(talk.get("/session", headers={"X-Forwarded-For": "203.0.113.9"}), 401, "unauthorized")


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        # A foreign host name that resolves to this machine.
        ("GET", {"Host": "evil.example"}, 421),
        ("GET", {"Host": "localhost.evil.example:8822"}, 421),
        ("GET", {"Host": ""}, 421),
        # A page of another site.
        ("POST", {"Origin": "https://evil.example"}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("POST", {"Sec-Fetch-Site": "same-site"}, 403),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        # A link from another site, and the console's own pages.
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ("GET", {"Host": "LOCALHOST:1"}, 200),
        ("GET", {"Host": "[::1]:8822"}, 200),
        ("POST", {"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_what_another_site_has_a_browser_send_is_refused(
    talk: HttpTalk, tmp_path: Path, method: str, headers: dict[str, str], status: int
) -> None:
    path = SET if method == "POST" else "/api/v1/app_state"
    body = {"key": "a", "value": 1} if method == "POST" else None

    # Before there is a token: with one, any name of the host is accepted.
    assert talk.ask(method, path, json=body, headers=headers).status_code == (
        401 if status == 200 else status
    )
    with HttpTalk(tmp_path / "open", http_open=True) as opened:
        assert opened.ask(method, path, json=body, headers=headers).status_code == status


def test_an_origin_that_the_settings_name_may_ask(tmp_path: Path) -> None:
    origin = "https://app.example"
    with HttpTalk(tmp_path, http_open=True, http_origins=(origin,)) as talk:
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        allowed = talk.ask(
            "OPTIONS", SET, headers={**asked, "Access-Control-Request-Headers": "authorization"}
        )
        answer = talk.post(SET, {"key": "a", "value": 1}, headers={"Origin": origin})
        other = talk.post(SET, {"key": "a", "value": 1}, headers={"Origin": "https://evil.example"})

    assert allowed.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-allow-origin"] == origin
    assert other.status_code == 403


def test_a_browser_that_is_logged_in_changes_things_from_our_pages_alone(talk: HttpTalk) -> None:
    secret = token(talk, "operate")["Authorization"].removeprefix("Bearer ")
    logged_in = talk.post("/session", {"token": secret})
    cookie = logged_in.headers["set-cookie"]
    browser = {"Cookie": cookie.partition(";")[0]}
    page = logged_in.json()["csrf_token"]

    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert talk.get("/session", headers=browser).json()["role"] == "operate"
    problem(talk.post(SET, {"key": "a", "value": 1}, headers=browser), 403, "forbidden")
    wrong = {**browser, "X-CSRF-Token": "x" * len(page)}
    problem(talk.post(SET, {"key": "a", "value": 1}, headers=wrong), 403, "forbidden")
    right = {**browser, "X-CSRF-Token": page}
    assert talk.post(SET, {"key": "a", "value": 1}, headers=right).status_code == 200

    # As a form has it.
    left = talk.ask("DELETE", "/session", content=f"csrf_token={page}", headers={**browser, **FORM})
    assert left.status_code == 204
    problem(talk.get("/session", headers=browser), 401, "unauthorized")


def test_a_bearer_goes_before_a_session_everywhere(talk: HttpTalk) -> None:
    """The token decides who acts and who is recorded, also if a browser's session comes with it."""
    reader, operator = token(talk, "read"), token(talk, "operate")
    logged_in = talk.post("/session", {"token": operator["Authorization"].removeprefix("Bearer ")})
    browser = {"Cookie": logged_in.headers["set-cookie"].partition(";")[0]}
    csrf = {"csrf_token": logged_in.json()["csrf_token"]}
    both = {**browser, **reader}
    talk.post(SET, {"key": "k", "value": 1}, headers=operator)

    assert talk.get("/session", headers=both).json() == {
        "name": "a-read-token",
        "role": "read",
        "csrf_token": None,
    }
    page = talk.get("/console/app_state/k", headers=both)
    assert "a-read-token" in page.text
    assert "a-operate-token" not in page.text.partition("<main")[0]
    assert "set-cookie" not in page.headers
    form = {"verb": "delete", "version": "1", **csrf}
    assert talk.ask("POST", "/console/app_state/k", data=form, headers=both).status_code == 403
    problem(talk.ask("DELETE", "/api/v1/app_state/k", headers=both), 403, "forbidden")
    # The token does not end the browser's session.
    talk.ask("DELETE", "/session", headers=both)
    assert talk.get("/session", headers=browser).json()["name"] == "a-operate-token"


def test_several_headers_that_others_might_read_in_another_order_are_refused(talk: HttpTalk) -> None:
    reader, operator = token(talk, "read"), token(talk, "operate")
    headers = [("Authorization", reader["Authorization"]), ("Authorization", operator["Authorization"])]
    problem(talk.ask("GET", "/session", headers=headers), 401, "unauthorized")
    assert talk.ask("GET", "/console", headers=headers).status_code == 303


def test_what_a_proxy_asks_for_itself_leaves_a_session_as_it_is(talk: HttpTalk) -> None:
    logged_in = talk.post(
        "/session", {"token": token(talk, "operate")["Authorization"].removeprefix("Bearer ")}
    )
    browser = {"Cookie": logged_in.headers["set-cookie"].partition(";")[0], "Authorization": "Basic YTpi"}
    assert talk.get("/session", headers=browser).json()["name"] == "a-operate-token"
    # A request with a session's cookie needs the CSRF token of a page all the same.
    problem(talk.post(SET, {"key": "a", "value": 1}, headers=browser), 403, "forbidden")
    problem(talk.get("/session", headers={"Authorization": "Basic YTpi"}), 401, "unauthorized")


def test_a_bearer_that_asks_often_ends_nobodys_session(
    talk: HttpTalk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MAXIMUM_SESSIONS", 3)
    reader = token(talk, "read")
    logged_in = talk.post(
        "/session", {"token": token(talk, "operate")["Authorization"].removeprefix("Bearer ")}
    )
    browser = {"Cookie": logged_in.headers["set-cookie"].partition(";")[0]}
    for _ in range(5):
        assert talk.get("/console", headers=reader).status_code == 200
        opened = talk.post("/session", {"token": reader["Authorization"].removeprefix("Bearer ")})
        assert opened.status_code == 200
    assert talk.get("/session", headers=browser).json()["name"] == "a-operate-token"


def test_the_command_line_on_this_machine_may_look_and_no_more(talk: HttpTalk) -> None:
    admin = read_admin(talk.data)
    assert admin is not None
    local = bearer(admin.http_secret)
    assert talk.get("/session", headers=local).json()["name"] == "admin"
    wait_for(lambda: talk.get("/readyz?verbose", headers=local).json()["status"] == "healthy")
    problem(talk.post(SET, {"key": "a", "value": 1}, headers=local), 403, "forbidden")
    problem(talk.post("/session", {"token": admin.http_secret}), 401, "unauthorized")
    talk.restart()
    problem(talk.get("/session", headers=local), 401, "unauthorized")


def test_a_session_ends_with_the_token_that_opened_it(talk: HttpTalk) -> None:
    secret = token(talk, "read")["Authorization"].removeprefix("Bearer ")
    form = talk.ask("POST", "/session", content=f"token={secret}", headers=FORM)
    browser = {"Cookie": form.headers["set-cookie"].partition(";")[0]}
    assert talk.get("/api/v1/jobs", headers=browser).status_code == 200

    TokenFile(talk.data).revoke("a-read-token")

    problem(talk.get("/api/v1/jobs", headers=browser), 401, "unauthorized")


def test_a_wrong_token_opens_no_session(talk: HttpTalk) -> None:
    token(talk, "read")

    refused = talk.post("/session", {"token": "hpt_wrong"})

    problem(refused, 401, "unauthorized")
    assert "set-cookie" not in refused.headers


def test_what_is_answered_tells_browsers_to_run_nothing(talk: HttpTalk) -> None:
    reader = token(talk, "read")
    for answer in (
        talk.get("/api/v1/jobs", headers=reader),
        talk.get("/nowhere"),
        talk.get("/", headers={"Host": "x"}),
    ):
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


def test_beyond_the_loopback_it_listens_only_with_a_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING),
        HttpTalk(tmp_path / "a", http="0.0.0.0:0", http_open=False) as talk,
    ):
        assert talk.service.http is not None
        assert talk.service.http.listens_at[0] == "127.0.0.1"
    assert "on the loopback only" in caplog.text

    TokenFile(tmp_path / "b").create("somebody", "read")
    with HttpTalk(tmp_path / "b", http="0.0.0.0:0", http_open=False) as talk:
        assert talk.service.http is not None
        assert talk.service.http.listens_at[0] == "0.0.0.0"
        # Any host name is accepted there, and a client without a token is refused.
        problem(talk.get("/session", headers={"Host": "persistence.example"}), 401, "unauthorized")


def test_a_user_of_its_own_sends_and_asks_what_its_rights_say_and_nothing_else(talk: HttpTalk) -> None:
    rights = rights_of(allow=["app_state.*"], keys=["billing/*"], tables=[], reads=True, follows=False)
    _, given = UserFile(talk.data).create("billing", rights)
    billing = bearer(given.token)

    assert talk.post(SET, {"key": "billing/1", "value": 1}, headers=billing).status_code == 200
    assert talk.get("/api/v1/app_state/billing%2F1", headers=billing).json()["value"] == 1
    assert talk.query("events.read").said["items"][0]["principal"] == "billing"
    for refused in (
        talk.post(SET, {"key": "eve/1", "value": 1}, headers=billing),
        talk.get("/api/v1/app_state/eve%2F1", headers=billing),
        talk.get("/api/v1/jobs", headers=billing),
        talk.post("/api/v1/backups", headers=billing),
        talk.get("/metrics", headers=billing),
        talk.get("/api/v1/events", headers=billing),
        talk.post("/api/v1/admin/projections/verify", headers=billing),
    ):
        problem(refused, 403, "forbidden")

    UserFile(talk.data).revoke("billing")

    problem(talk.get("/api/v1/app_state", headers=billing), 401, "unauthorized")


def test_an_event_says_whose_token_asked_for_it_whatever_the_actor_says(talk: HttpTalk) -> None:
    operator = token(talk, "operate")

    talk.post(SET, {"key": "a", "value": 1}, headers=operator | {"Hyperpage-Actor": "an-admin-token"})

    (event,) = talk.query("events.read").said["items"]
    assert (event["actor"], event["principal"]) == ("an-admin-token", "a-operate-token")


def test_the_command_ids_of_a_token_are_its_own(talk: HttpTalk) -> None:
    one, other = token(talk, "operate"), token(talk, "admin")
    claim, key = "/api/v1/jobs/-/claim", {"Idempotency-Key": "claim-1"}
    talk.command("jobs.enqueue", {"type": "t", "name": "n"})

    taken = talk.post(claim, {"worker": "w"}, headers=one | key)
    again = talk.post(claim, {"worker": "w"}, headers=one | key)
    stolen = talk.post(claim, {"worker": "w"}, headers=other | key)
    on_the_bus = talk.command("jobs.claim", {"worker": "w"}, id="claim-1")

    assert len(taken.json()["result"]["jobs"]) == 1
    assert again.content == taken.content
    assert stolen.json()["result"]["jobs"] == on_the_bus.said["result"]["jobs"] == []


def test_a_users_old_token_is_good_for_as_long_as_was_said(talk: HttpTalk) -> None:
    rights = rights_of(allow=["app_state.*"], keys=[], tables=[], reads=True, follows=False)
    file = UserFile(talk.data)
    _, old = file.create("billing", rights)
    _, new = file.rotate("billing", old_key_ms=3_600_000)

    for given in (old, new):
        assert talk.get("/api/v1/app_state", headers=bearer(given.token)).status_code == 200

    file.rotate("billing", old_key_ms=0)

    for given in (old, new):
        problem(talk.get("/api/v1/app_state", headers=bearer(given.token)), 401, "unauthorized")
