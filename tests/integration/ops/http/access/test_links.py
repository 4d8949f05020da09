"""Links that log a browser in once: `hyperpage console`, and the start of a service at a terminal."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from ops.http.access.links import LIFETIME_MS, MAXIMUM_LINKS, LogInLinks
from ops.http.layers.throttle import ALLOWED_GUESSES
from tests.support.clock import Clock
from tests.support.services.asking import HttpTalk, problem
from tests.support.services.command_line import hyperpage

LOGIN = "/console/login"


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[HttpTalk]:
    with HttpTalk(tmp_path, http_open=False) as talk:
        yield talk


def link(talk: HttpTalk, *options: str) -> str:
    """The link that `hyperpage console` prints, without the service's address."""
    result = hyperpage("console", "--data", talk.data, *options)
    assert result.code == 0, result
    assert result.out.startswith(talk.url)
    return result.out.strip().removeprefix(talk.url)


def cookie(answer: httpx.Response) -> dict[str, str]:
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


def test_a_link_logs_a_browser_in_and_is_gone_from_its_address(talk: HttpTalk) -> None:
    answer = talk.get(link(talk))

    browser = cookie(answer)
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert answer.content == b""
    assert talk.get("/console", headers=browser).status_code == 200
    session = talk.get("/session", headers=browser).json()
    assert (session["name"], session["role"]) == ("console", "admin")
    # The session may change things, with its pages' CSRF token.
    act = "/api/v1/admin/projections/verify"
    problem(talk.post(act, headers=browser), 403, "forbidden")
    assert talk.post(act, headers={**browser, "X-CSRF-Token": session["csrf_token"]}).status_code == 200
    left = talk.ask("POST", "/console/logout", headers=browser, data={"csrf_token": session["csrf_token"]})
    assert left.status_code == 303
    assert talk.get("/console", headers=browser).status_code == 303


def test_a_link_is_good_once(talk: HttpTalk) -> None:
    path = link(talk)
    cookie(talk.get(path))

    again = talk.get(path)

    assert again.status_code == 401
    assert "this link was used, or is too old; `hyperpage console` makes a new one" in again.text
    assert "set-cookie" not in again.headers


def test_of_two_who_come_with_one_link_one_is_let_in(talk: HttpTalk) -> None:
    links = LogInLinks(talk.data)
    for _ in range(20):
        code = links.create(by="somebody")
        with ThreadPoolExecutor(8) as threads:
            used = list(threads.map(lambda _, code=code: LogInLinks(talk.data).use(code), range(8)))
        assert sum(one is not None for one in used) == 1


def test_a_link_that_is_only_looked_at_stays_good(talk: HttpTalk) -> None:
    path = link(talk)

    for answer in (
        talk.ask("HEAD", path),
        talk.get(path, headers={"Sec-Purpose": "prefetch;prerender"}),
        talk.get(path, headers={"Purpose": "prefetch"}),
    ):
        assert answer.status_code == 503
        assert "set-cookie" not in answer.headers
    # A request that another site has the browser send does not use the link up.
    elsewhere = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert talk.get(path, headers=elsewhere).status_code == 403
    assert talk.get(path, headers={"Host": "evil.example"}).status_code == 421

    cookie(talk.get(path, headers={"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}))


def test_a_link_has_the_role_that_was_asked_for(talk: HttpTalk) -> None:
    browser = cookie(talk.get(link(talk, "--role", "read")))
    session = talk.get("/session", headers=browser).json()
    assert session["role"] == "read"
    refused = talk.post(
        "/api/v1/app_state/set",
        {"key": "a", "value": 1},
        headers={**browser, "X-CSRF-Token": session["csrf_token"]},
    )
    problem(refused, 403, "forbidden")


def test_a_code_is_kept_as_a_hash_that_its_owner_alone_can_read(talk: HttpTalk) -> None:
    code = link(talk).partition("code=")[2]
    [kept] = (talk.data / "log-ins").iterdir()
    assert len(code) >= 43
    assert code not in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700


def test_who_guesses_codes_waits(talk: HttpTalk) -> None:
    link(talk)
    statuses = [talk.get(f"{LOGIN}?code={number}").status_code for number in range(ALLOWED_GUESSES + 3)]
    assert statuses[:ALLOWED_GUESSES] == [401] * ALLOWED_GUESSES
    assert statuses[-1] == 429


@pytest.mark.parametrize("code", ["", "x" * 20_000, "%00", "%ff%fe", "../../tokens.json", "a&code=b"])
def test_what_is_no_code_lets_nobody_in(talk: HttpTalk, code: str) -> None:
    answer = talk.get(f"{LOGIN}?code={code}")
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_a_link_is_good_for_its_time_and_at_no_other(tmp_path: Path) -> None:
    clock = Clock()
    links = LogInLinks(tmp_path, clock=clock)
    late, early, right = (links.create(by="somebody") for _ in range(3))
    began = clock.now
    clock.now = began + LIFETIME_MS
    assert links.use(late) is None
    # The clock was set back.
    clock.now = began - 1
    assert links.use(early) is None
    clock.now = began + LIFETIME_MS - 1
    assert links.use(right) is not None
    # A link does not work again later, when the clock is within its time again.
    assert links.use(early) is None


def test_links_that_nobody_uses_are_few(tmp_path: Path) -> None:
    links = LogInLinks(tmp_path)
    codes = [links.create(by="somebody") for _ in range(MAXIMUM_LINKS + 5)]
    assert len(list((tmp_path / "log-ins").iterdir())) == MAXIMUM_LINKS
    assert links.use(codes[0]) is None
    assert links.use(codes[-1]) is not None


def test_whatever_lies_beside_the_links_is_no_link(tmp_path: Path) -> None:
    links = LogInLinks(tmp_path)
    code = links.create(by="somebody")
    folder = tmp_path / "log-ins"
    (folder / "0-nothing").write_bytes(b"\xff{}")
    (folder / "0-device").symlink_to("/dev/zero")
    [kept] = [one for one in folder.iterdir() if not one.name.startswith("0-")]
    kept.chmod(0o666)
    assert links.use(code) is None
    kept.chmod(0o600)
    assert links.use(code) is not None


def test_a_session_of_a_link_ends_with_the_service(talk: HttpTalk) -> None:
    browser = cookie(talk.get(link(talk)))
    other = link(talk)
    talk.restart()
    assert talk.get("/console", headers=browser).status_code == 303
    cookie(talk.get(re.sub("^http://[^/]*", "", other)))


def test_where_there_is_nothing_to_open_that_is_told(tmp_path: Path) -> None:
    assert hyperpage("console", "--data", tmp_path / "none").code == 5
    with HttpTalk(tmp_path / "some", no_http=True):
        refused = hyperpage("console", "--data", tmp_path / "some")
    assert (refused.code, "serves no HTTP" in refused.err) == (1, True)
