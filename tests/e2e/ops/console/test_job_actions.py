"""Each action of the console on queues and schedules, and a job enqueued by a form, once each."""

from tests.support.services.asking import HttpTalk
from tests.support.services.browsing import PHONE, browser, tab


def test_a_job_is_enqueued_its_queue_paused_and_a_schedule_triggered_paused_and_deleted(
    talk: HttpTalk,
) -> None:
    job = {"type": "report", "name": "The report"}
    talk.command("schedules.set", {"id": "nightly", "cron": "30 2 * * *", "job": job})

    async def operate() -> None:
        async with browser() as started, tab(started, talk.url, width=PHONE) as here:
            press, page = here.press, here.page
            # The time until the pages ask again is not waited for here.
            await page.clock.install()
            await here.open("/console/jobs")
            await page.get_by_role("link", name="Enqueue a job").click()
            await page.get_by_label("Type").fill("mail")
            await page.get_by_label("Name").fill("Welcome")
            await page.get_by_label("Queue").fill("mail")
            await page.get_by_label("Payload").fill('{"to": somebody}')
            await press("Enqueue")
            await here.says("in line 1, column 8")
            assert here.complaints.pop().endswith("status of 400 (Bad Request)")
            await here.is_in_order("a form with a payload that is no JSON")
            assert await page.evaluate("document.activeElement.id") == "payload"
            await page.get_by_label("Payload").fill('{"to": "somebody"}')
            await page.context.set_offline(True)
            await press("Enqueue")
            await here.says("No answer came from the service. What you filled in is still here.")
            assert "ERR_INTERNET_DISCONNECTED" in here.complaints.pop()
            await here.is_in_order("a form that no answer came to")
            assert await page.get_by_label("Payload").input_value() == '{"to": "somebody"}'
            await page.context.set_offline(False)
            http = talk.service.http
            assert http is not None
            await http.backend.detach()
            await press("Enqueue")
            await page.locator("form .unsent", has_not_text="No answer came").wait_for()
            assert all("503" in one for one in here.complaints)
            here.complaints.clear()
            assert await page.get_by_label("Payload").input_value() == '{"to": "somebody"}'
            http.backend.attach(talk.service.parts, talk.service.health, talk.service.metrics)
            # Sent again, with the id that it had.
            await press("Enqueue")
            await here.says("The job is enqueued")
            await page.get_by_role("heading", name="Welcome").wait_for()

            await here.open("/console/queues")
            await page.get_by_role("link", name="mail", exact=True).focus()
            await talk.client.command("jobs.enqueue", {"type": "t", "name": "n", "queue": "zoo"})
            await here.comes("zoo")
            # The focused link keeps the focus when the list is refreshed.
            await page.locator("a:focus", has_text="mail").click()
            await page.get_by_role("button", name="Pause…").click()
            await page.get_by_label("Reason").fill("the network is down")
            await here.is_in_order("the question whether to pause a queue")
            await press("Pause")
            await here.says("The queue mail is paused")
            await here.says("the network is down")
            await press("Resume…", "Resume")
            await here.says("hands out its jobs again")

            await here.open("/console/schedules")
            await page.get_by_role("link", name="nightly").click()
            await press("Trigger…", "Trigger")
            await here.says("A job was made")
            await press("Pause…", "Pause")
            await here.says("until it is resumed")
            await press("Resume…", "Resume")
            await here.says("makes jobs again")
            await press("Delete…", "Delete")
            await here.says("is gone")

    talk.run(operate())
    assert talk.query("jobs.count").said["count"] == 3
