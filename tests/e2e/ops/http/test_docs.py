"""The page `/docs` in a real browser: the API is tried out, and no other server is asked."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from ops.http.access.tokens import TokenFile
from tests.support.patience import patiently
from tests.support.services.asking import HttpTalk
from tests.support.services.browsing import Tab, browser, chromium, tab

SET = "/docs#/app_state/app_state.set"


async def _carries_out(here: Tab, value: str, status: int) -> None:
    """Returns when the page shows that status for a command that sets a key."""
    page = here.page
    await page.locator("[data-param-name=key] input").fill("theme")
    await page.locator("textarea.body-param__text").fill(f'{{"value": "{value}"}}')
    await page.locator("button.execute").click()
    shown = page.locator(".live-responses-table .response .response-col_status", has_text=str(status))
    await shown.first.wait_for()


async def _with_token(here: Tab, url: str, secret: str) -> None:
    await here.open(SET)
    await _carries_out(here, "grey", 401)
    await here.page.locator("button.authorize").click()
    await here.page.locator(".auth-container input").first.fill(secret)
    await here.page.locator(".auth-btn-wrapper button.authorize").first.click()
    await here.page.locator(".btn-done").first.click()
    await _carries_out(here, "dark", 200)


async def _with_session(here: Tab, url: str, secret: str) -> None:
    logged_in = await here.page.request.post(f"{url}/session", data={"token": secret})
    assert logged_in.ok
    await here.open(SET)
    await _carries_out(here, "dark", 200)


@pytest.mark.parametrize(
    ("scene", "refusals"), [(_with_token, 2), pytest.param(_with_session, 0, marks=pytest.mark.prove)]
)
def test_an_operation_is_tried_out_with_a_token_and_with_the_consoles_session(
    tmp_path: Path, scene: Callable[[Tab, str, str], Awaitable[None]], refusals: int
) -> None:
    chromium()
    with HttpTalk(tmp_path, http_open=False) as talk:
        _, secret = TokenFile(talk.data).create("me", "operate", by="test")

        async def try_out() -> None:
            async with browser() as started, tab(started, talk.url) as here:
                # A large page, which is drawn in the browser.
                here.page.set_default_timeout(patiently(20) * 1_000)
                await scene(here, talk.url, secret)
                # Swagger UI warns of the links that it makes to its own operations.
                others = [one for one in here.complaints if not one.startswith("Deprecated:")]
                assert (here.elsewhere, len(others)) == ([], refusals), others

        talk.run(try_out())
        assert talk.query("app_state.get", {"key": "theme"}).said["value"] == "dark"


def test_the_page_and_its_files_are_for_everybody_and_kept_by_the_browser(talk: HttpTalk) -> None:
    page = talk.get("/docs")
    policy = page.headers["content-security-policy"]
    files = [part.split('"')[0] for part in page.text.split('="/')[1:] if part.startswith("docs/static")]
    answers: list[httpx.Response] = [talk.get(f"/{one}") for one in files]

    assert "script-src 'self'; style-src 'self'" in policy
    assert [one.status_code for one in answers] == [200, 200, 200]
    assert all("immutable" in one.headers["cache-control"] for one in answers)
    assert talk.get("/docs/static/page.py").status_code == 404
    assert "Swagger UI 5.35.0," in talk.get("/docs/static/LICENSES.txt").text
