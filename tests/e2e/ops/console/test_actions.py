"""Every action of the console once, in a real browser."""

from tests.support.services.asking import HttpTalk
from tests.support.services.browsing import PHONE, browser, tab
from tests.support.services.visiting import HOSTILE


def test_jobs_are_held_cancelled_and_retried_one_by_one_and_together(talk: HttpTalk) -> None:
    for number in range(3):
        talk.command(
            "jobs.enqueue", {"id": f"j{number}", "type": "t", "name": f"Job {number}", "payload": {"n": 42}}
        )

    async def operate() -> None:
        async with browser() as started, tab(started, talk.url, width=PHONE) as here:
            press = here.press
            await here.open("/console/jobs")
            await here.page.get_by_role("link", name="Job 1").click()
            await here.page.get_by_role("link", name="Show the payload").click()
            await here.says('"n": 42')
            await here.is_in_order("a job with its payload")

            await press("Cancel…")
            await here.is_in_order("a question")
            await press("Leave it")
            await press("Hold…", "Hold")
            await here.says("The job is held")
            await press("Release…", "Release")
            await here.says("may be claimed again")
            await press("Cancel…")
            await here.page.get_by_label("Reason").fill("no longer needed")
            await press("Cancel")
            await here.says("no longer needed")
            await press("Retry…", "Retry")
            await here.says("The job will be tried again")

            await here.open("/console/jobs?state=pending")
            await here.page.get_by_role("link", name="Cancel these…").click()
            await here.says("Cancel 3 jobs?")
            await here.is_in_order("what would be cancelled")
            await press("Cancel 3 jobs")
            await here.says("3 jobs were cancelled")

    talk.run(operate())
    assert talk.query("jobs.count", {"state": "cancelled"}).said["count"] == 3


def test_the_tail_is_live_until_it_is_paused_and_counts_meanwhile(talk: HttpTalk) -> None:
    async def put(*keys: str) -> None:
        for key in keys:
            await talk.client.command("app_state.set", {"key": key, "value": HOSTILE})

    async def watch() -> None:
        async with browser() as started, tab(started, talk.url) as here:
            await here.open("/console/tail")
            await here.says("live")
            await put("first")
            await here.says("app_state/first")
            await here.page.locator("main").focus()
            await here.page.keyboard.press("p")
            await put("second", "third")
            await here.says("Go on (2 new)")
            assert await here.page.get_by_text("app_state/second").count() == 0
            await here.is_in_order("the tail, paused")
            await here.press("Go on (2 new)")
            await put("fourth")
            await here.says("app_state/fourth")
            assert await here.page.locator("#tail-seen").inner_text() == "4"
            assert await here.page.locator("#tail-skipped").inner_text() == "2"
            await here.page.locator("#tail .row-link").first.click()
            await here.says("What it changed")

    talk.run(watch())


def test_a_configuration_is_made_changed_switched_off_rolled_back_and_deleted(talk: HttpTalk) -> None:
    schema = {"properties": {"pages": {"type": "integer"}}}

    async def operate() -> None:
        async with browser() as started, tab(started, talk.url, width=PHONE) as here:
            press, page = here.press, here.page
            await here.open("/console/tool_configs")
            await page.get_by_role("link", name="Configure another tool").click()
            await page.get_by_label("Tool", exact=True).fill("github")
            await page.get_by_label("Configuration, a JSON object").fill('{"pages": 10}')
            await page.get_by_label("Reason").fill("first setup")
            await press("Store")
            await here.says("The configuration of github is stored")

            await talk.client.command(
                "tool_configs.register_schema", {"tool_name": "github", "schema": schema}
            )
            await page.get_by_role("link", name="Change…").click()
            await page.get_by_label("Configuration, a JSON object").fill('{"pages": "many"}')
            await press("Store")
            await here.says("$.config.pages")
            assert here.complaints.pop().endswith("status of 422 (Unprocessable Entity)")
            await here.is_in_order("a configuration that does not match")
            await page.get_by_label("Configuration, a JSON object").fill('{"pages": 20}')
            await press("Store")
            await here.says("is stored")

            await press("Switch off…", "Switch off")
            await here.says("The tool is off")
            await press("Switch on…", "Switch on")
            await here.says("The tool is on")
            await page.get_by_role("link", name="roll back to it").last.click()
            await here.says("Back to version 1?")
            await press("Roll back")
            await here.says("The old content is back")
            await press("Delete…")
            await here.is_in_order("the question")
            await press("Delete")
            await here.says("The tool has no configuration")

    talk.run(operate())
    said = [
        event["type"].split(".")[2]
        for event in talk.query("tool_configs.history", {"tool_name": "github"}).said["items"]
    ]
    assert said == ["set", "schema_registered", "set", "disabled", "enabled", "rolled_back", "deleted"]
