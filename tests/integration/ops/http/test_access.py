"""Who may use the HTTP API, and what is refused before anything is looked at."""

import logging
from pathlib import Path

import pytest

from ops.http.access.tokens import Token, TokenFile, Tokens
from ops.http.layers.throttle import ALLOWED_GUESSES
from tests.support.services.asking import HttpTalk, problem

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SET = "/api/v1/app_state/set"


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def token(talk: HttpTalk, role: str) -> dict[str, str]:
    """The header of a new token with that role."""
    _, secret = TokenFile(talk.data).create(f"a-{role}-token", role)  # type: ignore[arg-type]
    return bearer(secret)


def test_without_any_token_whoever_is_on_this_machine_may_do_everything(talk: HttpTalk) -> None:
    assert talk.get("/session").json() == {
        "name": "anybody on this machine",
        "role": "admin",
        "csrf_token": None,
    }
    assert talk.post(SET, {"key": "a", "value": 1}).status_code == 200


def test_from_the_first_token_on_nobody_comes_without_one(talk: HttpTalk) -> None:
    reader = token(talk, "read")

    refused = talk.get("/api/v1/jobs")
    problem(refused, 401, "unauthorized")
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert talk.get("/api/v1/jobs", headers=reader).status_code == 200

    TokenFile(talk.data).revoke("a-read-token")

    problem(talk.get("/api/v1/jobs", headers=reader), 401, "unauthorized")
    # That there was one is not forgotten with it.
    problem(talk.get("/api/v1/jobs"), 401, "unauthorized")


def test_a_file_of_tokens_that_cannot_be_read_lets_nobody_in(talk: HttpTalk) -> None:
    reader = token(talk, "read")
    (talk.data / "tokens.json").write_text("{")

    problem(talk.get("/api/v1/jobs"), 401, "unauthorized")
    problem(talk.get("/api/v1/jobs", headers=reader), 401, "unauthorized")


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

    # Admitted, asked for the role of a command, and named as its actor.
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
    # One that was not seen before the guessing might be the guess that hits.
    refused = talk.get("/session", headers=late)
    problem(refused, 429, "too_many_requests")
    assert int(refused.headers["retry-after"]) >= 1
    assert talk.get("/session", headers=reader).status_code == 200


def test_behind_a_proxy_nobody_comes_without_a_token(talk: HttpTalk) -> None:
    problem(talk.get("/session", headers={"X-Forwarded-For": "203.0.113.9"}), 401, "unauthorized")


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        # A name of the world's that points here.
        ("GET", {"Host": "evil.example"}, 421),
        ("GET", {"Host": "localhost.evil.example:8822"}, 421),
        ("GET", {"Host": ""}, 421),
        # A page of another site.
        ("POST", {"Origin": "https://evil.example"}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("POST", {"Sec-Fetch-Site": "same-site"}, 403),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        # A link that is followed, and pages of ours.
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ("GET", {"Host": "LOCALHOST:1"}, 200),
        ("GET", {"Host": "[::1]:8822"}, 200),
        ("POST", {"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_what_another_site_has_a_browser_send_is_refused(
    talk: HttpTalk, method: str, headers: dict[str, str], status: int
) -> None:
    path = SET if method == "POST" else "/api/v1/app_state"
    body = {"key": "a", "value": 1} if method == "POST" else None

    assert talk.ask(method, path, json=body, headers=headers).status_code == status


def test_an_origin_that_the_settings_name_may_ask(tmp_path: Path) -> None:
    origin = "https://app.example"
    with HttpTalk(tmp_path, http_origins=(origin,)) as talk:
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
    for answer in (talk.get("/api/v1/jobs"), talk.get("/nowhere"), talk.get("/", headers={"Host": "x"})):
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


def test_beyond_the_loopback_it_listens_only_with_a_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), HttpTalk(tmp_path / "a", http="0.0.0.0:0") as talk:
        assert talk.service.http is not None
        assert talk.service.http.listens_at[0] == "127.0.0.1"
    assert "on the loopback only" in caplog.text

    TokenFile(tmp_path / "b").create("somebody", "read")
    with HttpTalk(tmp_path / "b", http="0.0.0.0:0") as talk:
        assert talk.service.http is not None
        assert talk.service.http.listens_at[0] == "0.0.0.0"
        # Whatever it is called out there: who has no token gets nothing.
        problem(talk.get("/session", headers={"Host": "persistence.example"}), 401, "unauthorized")
