"""Each action of the console on backups, projections, limits, state and dead letters, once each."""

from tests.support.services.asking import HttpTalk
from tests.support.services.browsing import PHONE, browser, tab
from tests.support.services.watching import eventually, number_of_letters


def test_a_backup_is_made_checked_proven_and_pinned_and_the_tables_too(talk: HttpTalk) -> None:
    talk.command("app_state.set", {"key": "k", "value": 1})

    async def operate() -> None:
        async with browser() as started, tab(started, talk.url) as here:
            press, page = here.press, here.page
            # The time until the pages ask again is not waited for here.
            await page.clock.install()
            await here.open("/console/backups")
            await press("Make a backup…")
            await page.get_by_label("What it is for").fill("before the move")
            await press("Make a backup")
            await here.says("The backup is being made")
            await here.comes("There is a new backup")
            await here.is_in_order("the list with a new backup")
            await page.locator(".row-link").first.click()
            await here.says("before the move")
            await press("Verify…", "Verify")
            await here.comes("is in order")
            await press("Drill…", "Drill")
            await here.comes("is proven")
            await press("Pin…", "Pin")
            await here.says("It is kept for good")
            await press("Unpin…", "Unpin")
            await here.says("as long as the rules say")

            await here.open("/console/projections")
            await press("Verify")
            await here.comes("every row was what the log makes it")
            await press("Rebuild…", "Rebuild")
            await here.comes("nothing had to be put right")
            await here.is_in_order("the projections after a rebuild")

    talk.run(operate())


def test_limits_state_and_dead_letters_are_settled(talk: HttpTalk) -> None:
    limit = {"platform": "github", "resource": "core", "remaining": 90, "limit": 100}
    talk.command("rate_limits.observe", limit | {"reset_time": talk.service.now_ms() + 3_600_000})
    talk.command("app_state.set", {"key": "theme", "value": "light"})
    for _ in range(2):
        talk.run(talk.client.request("hyperpage.dcmd.v1.jobs.enqueue", b'{"id": "?"}'))
    eventually(talk, number_of_letters(talk, 2))

    async def operate() -> None:
        async with browser() as started, tab(started, talk.url, width=PHONE) as here:
            press, page = here.press, here.page
            await here.open("/console/rate_limits/github%3Acore")
            await press("Throttle…")
            await page.get_by_label("For how many minutes").fill("30")
            await press("Throttle")
            await here.says("No calls for 30 min")
            await press("Thresholds…")
            await page.get_by_label("Warning from").fill("50")
            await press("Thresholds")
            await here.says("The thresholds are others from now on")
            await press("Clear…", "Clear")
            await here.says("is forgotten")

            await here.open("/console/app_state/theme")
            await press("Change…")
            await page.get_by_label("Value, as JSON").fill('"dark"')
            await press("Change")
            await here.says("The key holds the new value")
            await press("Delete…", "Delete")
            await here.says("The key holds nothing any more")

            await here.open("/console/dead_letters")
            await page.locator(".row-link").first.click()
            await press("Drop…", "Drop")
            await here.says("1 dead letter was dropped")
            await press("Replay all…", "Replay all")
            await here.says("1 dead letter was replayed")

    talk.run(operate())
    events = talk.query("app_state.history", {"key": "theme"}).said["items"]
    assert [one["type"] for one in events] == [
        "hyperpage.app_state.set.v1",
        "hyperpage.app_state.set.v1",
        "hyperpage.app_state.deleted.v1",
    ]
