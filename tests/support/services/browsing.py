"""A real browser without a screen, and the checks of every page that a test opens in it."""

import asyncio
import base64
import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import axe_playwright_python
import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.support.patience import patiently

PHONE, TABLET, DESK = WIDTHS = (390, 768, 1280)
HEIGHT = 860
# The folder for pictures of all pages, for a person to look at; empty: no pictures are kept.
PICTURES = os.environ.get("CONSOLE_PICTURES", "")
_FAULTS, _STILL, _DIFFERENCE = (
    Path(__file__).parents[1].joinpath("console", f"{name}.js").read_text()
    for name in ("page_faults", "still", "pictures")
)
# The browser gets no updates and calls no server of its maker, since there may be no network.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str:
    """The path of Chromium; if none is installed, the test is skipped and says so."""
    # The first one has no windows, and does half of the work for each page.
    for name in ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"):
        if (found := shutil.which(name)) is not None:
            return found
    pytest.skip("no Chromium is installed (Debian's package: chromium-headless-shell)")


def file_name(path: str) -> str:
    """A name for a file about a page, by its path: short, and another for each path."""
    words = re.sub("[^a-z0-9]+", "-", path.lower()).strip("-")
    return f"{words[:40]}-{hashlib.sha256(path.encode()).hexdigest()[:6]}"


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A browser for the length of the block."""
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        try:
            yield started
        finally:
            await started.close()


class Tab:
    """One page in a browser, with its requests to other servers and its complaints."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self._url = url
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        page.set_default_timeout(patiently(5) * 1000)
        page.on("console", lambda one: self._note(one.text) if one.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self._note(str(error)))
        page.on("request", lambda request: self._look_at(request.url))

    def _note(self, text: str) -> None:
        self.complaints.append(text)

    def _look_at(self, address: str) -> None:
        if urlsplit(address).netloc != urlsplit(self._url).netloc and not address.startswith("data:"):
            self.elsewhere.append(address)

    async def open(self, path: str) -> None:
        """Shows a page of the service."""
        response = await self.page.goto(self._url + path)
        assert response is not None
        assert response.status == 200, f"{path}: {response.status}"

    async def says(self, text: str) -> None:
        """Returns when the page shows a text."""
        await self.page.get_by_text(text).first.wait_for()

    async def comes(self, text: str) -> None:
        """Returns when the page shows a text by itself; its clock, which the test has set up, hurries."""
        deadline = asyncio.get_running_loop().time() + patiently(10)
        while await self.page.get_by_text(text).count() == 0:
            assert asyncio.get_running_loop().time() < deadline, f"it never said: {text}"
            # A page that asks without a pause would leave no time for the work that it waits for.
            await asyncio.sleep(0.1)
            await self.page.clock.fast_forward(1_000)

    async def press(self, *names: str) -> None:
        """Presses buttons, one after the other."""
        for name in names:
            await self.page.get_by_role("button", name=name, exact=True).click()

    async def lies_well(self, what: str) -> None:
        """Asserts that nothing sticks out or is covered: the page at any width, its questions on a phone."""
        for width in WIDTHS:
            await self.page.set_viewport_size({"width": width, "height": HEIGHT})
            height = await self.page.evaluate("document.documentElement.scrollHeight")
            # As high as the page, so that each part of it can be clicked.
            await self.page.set_viewport_size({"width": width, "height": max(HEIGHT, height)})
            if PICTURES:
                await self._keep_picture(what, width)
            assert not (faults := await self._faults(questions=False)), f"{what} at {width}: {faults}"
        await self.page.set_viewport_size({"width": PHONE, "height": HEIGHT})
        assert not (faults := await self._faults(questions=True)), f"a question of {what}: {faults}"

    async def _keep_picture(self, what: str, width: int) -> None:
        # Only the narrowest in both colour schemes; six pictures of a page would show no more.
        for scheme in ("dark", "light") if width == PHONE else ("light",):
            await self.page.emulate_media(color_scheme=scheme)
            path = Path(PICTURES) / f"{file_name(what)}-{width}-{scheme}.jpeg"
            await self.page.screenshot(path=path, type="jpeg", quality=60)

    async def still_picture(self, width: int, scheme: str) -> bytes:
        """The beginning of the page at a width, without what differs from time to time, as a PNG."""
        await self.page.set_viewport_size({"width": width, "height": HEIGHT})
        await self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        await self.page.evaluate(_STILL)
        return await self.page.screenshot()

    async def difference(self, *pictures: bytes) -> float:
        """The share of two pictures that differs, from 0 to 1."""
        said = [base64.b64encode(one).decode() for one in pictures]
        return float(await self.page.evaluate(_DIFFERENCE, said))

    async def _faults(self, *, questions: bool) -> list[str]:
        faults: list[str] = await self.page.evaluate(_FAULTS, questions)
        return faults

    async def is_in_order(self, what: str) -> None:
        """Asserts that the page fits its width, is accessible, has no errors, and asks no other server."""
        too_wide = await self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert too_wide <= 0, f"{what} is {too_wide} pixels wider than the window"
        faults = await self.page.evaluate(
            "async () => (await axe.run({resultTypes: ['violations']})).violations.map("
            " one => [one.impact, one.id, one.nodes.map(node => node.html + ' ' + node.failureSummary)])"
        )
        assert not faults, f"{what}: {faults}"
        assert not self.complaints, f"{what}: {self.complaints}"
        assert not self.elsewhere, f"{what}: {self.elsewhere}"


@asynccontextmanager
async def tab(
    browser: Browser,
    url: str,
    *,
    width: int = DESK,
    scheme: str = "light",
    scripts: bool = True,
    scale: float = 1,
    is_judged: bool = True,
) -> AsyncIterator[Tab]:
    """A tab with a profile of its own, as wide as a phone or a desk; `scale` is that of its pictures.

    Where it `is_judged`, each of its pages can be asked whether it `is_in_order`, and takes longer to load.
    """
    context = await browser.new_context(
        viewport={"width": width, "height": HEIGHT},
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion="reduce",
        java_script_enabled=scripts,
        device_scale_factor=scale,
    )
    # An init script, since the pages' own policy forbids other scripts, and stays as it is in a test.
    if is_judged:
        axe = Path(axe_playwright_python.__file__).with_name("axe.min.js")
        await context.add_init_script(path=axe)
    try:
        yield Tab(await context.new_page(), url)
    finally:
        await context.close()
