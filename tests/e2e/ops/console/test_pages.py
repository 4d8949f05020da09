"""The console in a real browser: every page, dark on a phone or light on a desk, and what moves in them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.http.access.links import LogInLinks
from ops.http.access.tokens import TokenFile
from tests.support.patience import patiently, until
from tests.support.services.asking import HttpTalk
from tests.support.services.browsing import DESK, PHONE, Tab, browser, tab
from tests.support.services.watching import eventually, number_of_letters

HOSTILE = "<img src=x onerror=alert(1)>'\"&"
PAGES = (
    "/console",
    "/console/jobs",
    "/console/jobs/hostile%2F1?show=payload",
    "/console/jobs/j1",
    "/console/jobs/-/bulk?verb=retry&state=failed",
    "/console/queues",
    "/console/queues/default",
    "/console/workers",
    "/console/schedules",
    "/console/schedules/hostile",
    "/console/jobs/-/new?queue=default",
    "/console/events",
    "/console/events?stream=jobs%2Fhostile%2F1",
    "/console/events/4",
    "/console/events/-/chain?correlation_id=import-7",
    "/console/tail",
    "/console/tool_configs",
    "/console/tool_configs/hostile?rollback=1",
    "/console/tool_configs/-/edit?tool=hostile",
    "/console/rate_limits",
    "/console/rate_limits/github%3Acore",
    "/console/app_state",
    "/console/app_state/hostile?position=1",
    "/console/backups",
    "/console/projections",
    "/console/dead_letters",
    "/console/dead_letters/1",
    "/console/proof",
    "/console/audit",
)


def some_of_everything(talk: HttpTalk) -> None:
    """Fills a store so that every page shows something, with values that break pages without escapes."""
    for number in range(3):
        talk.command(
            "jobs.enqueue", {"id": f"j{number}", "type": "sync", "name": f"Sync {number}", "tags": ["a"]}
        )
    talk.command(
        "jobs.enqueue", {"id": "hostile/1", "type": HOSTILE, "name": HOSTILE, "payload": {"a": HOSTILE}}
    )
    scheduled = {"type": HOSTILE, "name": HOSTILE, "payload": {"a": HOSTILE}, "tags": [HOSTILE]}
    talk.command(
        "schedules.set",
        {"id": "hostile", "cron": "0 9 * * 1", "time_zone": "Europe/Berlin", "job": scheduled},
    )
    talk.command("schedules.trigger", {"id": "hostile"})
    headers = {"Hyperpage-Correlation-Id": "import-7", "Hyperpage-Causation-Id": "1-4"}
    talk.command("app_state.set", {"key": "seen", "value": HOSTILE}, headers=headers)
    for config in ({"a": HOSTILE}, {"b": [HOSTILE]}):
        talk.command("tool_configs.set", {"tool_name": "hostile", "config": config, "reason": HOSTILE})
    claimed = talk.command("jobs.claim", {"worker": "w1", "limit": 2}).said["result"]["jobs"]
    talk.command("jobs.complete", {"id": claimed[0]["id"], "lease": claimed[0]["lease"], "result": {"n": 1}})
    talk.command(
        "jobs.fail",
        {"id": claimed[1]["id"], "lease": claimed[1]["lease"], "error": HOSTILE, "retryable": False},
    )
    now = talk.service.now_ms()
    for number in range(3):
        observed = {"remaining": 900 - number, "limit": 1_000, "observed_at": now + (number - 3) * 60_000}
        limit = {"platform": "github", "resource": "core", "reset_time": now + 3_600_000}
        assert talk.command("rate_limits.observe", limit | observed).code is None
    talk.command("app_state.set", {"key": "hostile", "value": {HOSTILE: [HOSTILE] * 9}})
    talk.run(talk.client.request("hyperpage.dcmd.v1.jobs.enqueue", b'{"id": "' + HOSTILE.encode() + b'"}'))
    eventually(talk, number_of_letters(talk, 1))
    name = talk.administer("backup.create", {"description": HOSTILE}).said["path"].rpartition("/")[2]
    talk.run(until(lambda: talk.service.health.look.backups.last == name, patiently(15)))


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpTalk]:
    """A service that is only looked at."""
    with HttpTalk(tmp_path_factory.mktemp("everything") / "data") as talk:
        some_of_everything(talk)
        yield talk


# Each page is tried in one colour and width: their parts are on several pages, so each part is seen in both.
@pytest.mark.parametrize(
    ("width", "scheme", "paths"),
    [
        (PHONE, "dark", PAGES[::2]),
        (DESK, "light", PAGES[1::2]),
        pytest.param(PHONE, "dark", PAGES[1::2], marks=pytest.mark.prove),
        pytest.param(DESK, "light", PAGES[::2], marks=pytest.mark.prove),
    ],
    ids=["phone", "desk", "phone, the others", "desk, the others"],
)
def test_every_page_is_in_order_on_a_phone_and_on_a_desk(
    everything: HttpTalk, width: int, scheme: str, paths: tuple[str, ...]
) -> None:
    async def look() -> None:
        async with browser() as started, tab(started, everything.url, width=width, scheme=scheme) as here:
            for path in paths:
                await here.open(path)
                await here.is_in_order(f"{path} at {width} in {scheme}")

    everything.run(look())


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[HttpTalk]:
    """A service with default settings: a client needs a token or a link."""
    with HttpTalk(tmp_path, http_open=False) as closed:
        yield closed


def test_who_has_a_token_logs_in_and_out(closed: HttpTalk) -> None:
    _, secret = TokenFile(closed.data).create("ops", "operate")

    async def log_in_and_out() -> None:
        async with browser() as started, tab(started, closed.url) as here:
            await here.open("/console/jobs?state=failed")
            await here.is_in_order("the page to log in")
            await here.page.get_by_label("Token").fill(secret)
            await here.page.keyboard.press("Enter")
            await here.page.wait_for_url("**/console/jobs?state=failed")
            await here.page.get_by_role("button", name="Log out").click()
            await here.page.get_by_role("heading", name="Log in").wait_for()

    closed.run(log_in_and_out())


def test_a_link_is_one_click_and_leaves_no_trace_in_the_browser(closed: HttpTalk) -> None:
    path = f"/console/login?code={LogInLinks(closed.data).create(by='somebody')}"

    async def click() -> None:
        async with browser() as started, tab(started, closed.url) as here:
            await here.open(path)
            assert here.page.url == f"{closed.url}/console"
            await here.page.get_by_role("button", name="Log out").wait_for()
            await here.page.go_back()
            assert "code" not in here.page.url
        async with browser() as started, tab(started, closed.url) as another:
            await another.page.goto(closed.url + path)
            await another.says("this link was used, or is too old")

    closed.run(click())


def test_pages_are_read_and_jobs_changed_without_a_script(talk: HttpTalk) -> None:
    talk.command("jobs.enqueue", {"id": "j", "type": "t", "name": "A job", "payload": {"n": 42}})

    async def look() -> None:
        async with browser() as started, tab(started, talk.url, scripts=False) as here:
            await here.open("/console")
            await here.page.locator("#menu").get_by_role("link", name="Jobs").click()
            await here.page.get_by_role("link", name="A job", exact=True).click()
            await here.page.get_by_role("link", name="Show the payload").click()
            await here.says('"n": 42')
            # A button that opens a question needs no script in newer browsers.
            await here.press("Hold…", "Hold")
            await here.says("The job is held")
            await here.open("/console/tail")
            await here.says("held")

    talk.run(look())


def test_the_menu_of_a_phone_and_the_theme(talk: HttpTalk) -> None:
    async def background(here: Tab) -> str:
        return str(await here.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    async def look() -> None:
        async with browser() as started, tab(started, talk.url, width=PHONE) as here:
            await here.open("/console")
            assert not await here.page.locator("#menu").is_visible()
            await here.press("Menu")
            await here.is_in_order("the menu")
            await here.press("Theme: auto", "Theme: light")
            assert await background(here) == "rgb(17, 21, 24)"
            await here.page.locator("#menu").get_by_role("link", name="Jobs").click()
            await here.page.wait_for_url("**/console/jobs")
            # It is kept.
            assert await background(here) == "rgb(17, 21, 24)"

    talk.run(look())


def test_the_keys_lead_everywhere(everything: HttpTalk) -> None:
    async def press(here: Tab, *keys: str) -> None:
        for key in keys:
            await here.page.keyboard.press(key)

    async def by_keys() -> None:
        async with browser() as started, tab(started, everything.url) as here:
            await here.open("/console")
            await press(here, "g", "j")
            await here.page.wait_for_url("**/console/jobs")
            await press(here, "/")
            assert await focused(here, "e => e.name") == "text"
            await here.page.locator("main").focus()
            await press(here, "j", "j", "k")
            assert await focused(here, "e => e.className") == "row-link"
            await press(here, "?")
            await here.page.get_by_role("dialog").wait_for()
            await press(here, "Escape")
            await here.page.get_by_role("dialog").wait_for(state="hidden")

    async def focused(here: Tab, what: str) -> Any:
        return await here.page.evaluate(f"({what})(document.activeElement)")

    everything.run(by_keys())


def test_what_changes_by_itself_keeps_the_place_and_says_when_it_is_not_fresh(talk: HttpTalk) -> None:
    for number in range(3):
        talk.command("jobs.enqueue", {"id": f"j{number}", "type": "t", "name": f"Sync {number}"})

    async def look() -> None:
        async with browser() as started, tab(started, talk.url) as here:
            # The page's clock runs as usual; the test moves it ahead instead of waiting for the next refresh.
            await here.page.clock.install()
            await here.open("/console/jobs")
            await here.page.get_by_role("link", name="Sync 2").focus()
            await talk.client.command("jobs.enqueue", {"id": "new", "type": "t", "name": "A new one"})
            await here.page.clock.fast_forward(5_000)
            await here.says("A new one")
            # A moment after the new part is there.
            await here.page.locator("a:focus", has_text="Sync 2").wait_for()
            position = await here.page.locator("#vital .figure").inner_text()
            assert position == str(talk.service.leading.writer.head.position)
            await here.is_in_order("the board, asked for again")

            http = talk.service.http
            assert http is not None
            await http.backend.detach()
            await here.page.clock.fast_forward(5_000)
            await here.says("no answer")
            http.backend.attach(talk.service.parts, talk.service.health, talk.service.metrics)
            await here.page.clock.fast_forward(5_000)
            await here.page.get_by_text("no answer").wait_for(state="hidden")

    talk.run(look())
