"""The pages of installed aggregates in a real browser, with as many of them as fill the navigation."""

import asyncio
from collections.abc import Iterator
from urllib.parse import quote

import msgspec
import pytest

from tests.support.console.hostile_store import KEY, LEFTWARDS, MARKUP, UNBROKEN
from tests.support.repository import ROOT
from tests.support.services.browsing import PHONE, browser, tab
from tests.support.services.command_line import Served

PARCEL = "tests.support.aggregates.parcel"
MANY = ["shop.basket", PARCEL, *(f"{PARCEL}:THINGS_{number}" for number in range(1, 11))]
_KEY = quote(KEY, safe="")
PAGES = (
    "/console/parcels",
    "/console/parcels?fragile=yes",
    f"/console/parcels/{_KEY}?position=1",
    "/console/parcels/-/set",
    f"/console/parcels/-/set?id={_KEY}",
    "/console/things_10",
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    installed = {
        "HYPERPAGE_AGGREGATES": ",".join(MANY),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'examples' / 'shop'}",
    }
    data = tmp_path_factory.mktemp("many") / "data"
    with Served(data, "--http-open", "--http", "127.0.0.1:0", **installed) as served:
        with served.http() as http:
            for key in (KEY, "plain"):
                hostile = {
                    "id": key,
                    "title": UNBROKEN[:200],
                    "note": UNBROKEN * 20,
                    "weight": 1e9,
                    "pieces": 10**12,
                    "due_at": 1_900_000_000_000,
                    "anything": {UNBROKEN: [LEFTWARDS, MARKUP] * 99},
                }
                assert http.post(
                    "/api/v1/parcels/-/set",
                    content=msgspec.json.encode(hostile),
                    headers={"Content-Type": "application/json"},
                ).is_success
        yield served


def test_pages_are_in_order_and_nothing_of_them_sticks_out(served: Served) -> None:
    async def look() -> None:
        async with browser() as started, tab(started, served.runtime["http_url"]) as here:
            for path in PAGES:
                await here.open(path)
                await here.is_in_order(path)
                await here.lies_well(path)
            # The page that one is on is seen in the navigation, however long that is.
            await here.open("/console/things_9")
            shown = here.page.locator(".side [aria-current]")
            assert await shown.evaluate("e => e.getBoundingClientRect().bottom <= innerHeight")
            await here.page.set_viewport_size({"width": PHONE, "height": 700})
            await here.press("Menu")
            await here.is_in_order("the menu with many aggregates")

    asyncio.run(look())


def test_a_basket_is_opened_filled_and_checked_out_by_forms_and_keys(served: Served) -> None:
    async def shop() -> None:
        async with browser() as started, tab(started, served.runtime["http_url"], width=PHONE) as here:
            page = here.page
            await here.open("/console")
            await page.keyboard.press("g")
            await page.keyboard.press("1")
            await page.get_by_role("link", name="Open…").click()
            await page.get_by_label("Id").fill("b1")
            await page.get_by_label("Customer").fill("ann")
            await here.press("Open")
            await here.says("Open: done")
            await page.get_by_role("link", name="Add item…").click()
            await page.get_by_label("Article").fill("tea")
            await page.get_by_label("Quantity").fill("5000")
            await here.press("Add item")
            await here.says("1000")
            assert here.complaints.pop().endswith("status of 400 (Bad Request)")
            await here.is_in_order("a form with a quantity that is too large")
            assert await page.evaluate("document.activeElement.id") == "field-quantity"
            assert await page.get_by_label("Article").input_value() == "tea"
            await page.get_by_label("Quantity").fill("2")
            await here.press("Add item")
            await here.says('"tea": 2')
            await page.get_by_role("link", name="Check out…").click()
            await here.press("Check out")
            await here.says("checked_out")
            await page.get_by_label("as it was at position").fill("1")
            await here.press("Look")
            await here.says("At position 1")

    asyncio.run(shop())
