"""The workers of an app, before they connect."""

import asyncio

import pytest

from hyperpage_client import App


async def does_nothing() -> None: ...


def ran(app: App, *queues: str) -> None:
    asyncio.run(app.worker(*queues).run(handle_signals=False))


@pytest.mark.parametrize("queues", [(), ("mail",)], ids=str)
def test_a_worker_of_an_app_without_jobs_says_so(queues: tuple[str, ...]):
    with pytest.raises(ValueError, match="import the modules that define them"):
        ran(App("nats://nowhere.invalid"), *queues)


def test_a_worker_that_would_ask_for_no_type_or_for_more_than_a_claim_names_says_so():
    app = App("nats://nowhere.invalid")
    for number in range(101):
        app.job(name=f"job-{number}")(does_nothing)

    with pytest.raises(ValueError, match="default is the queue of 101; give jobs other queues"):
        ran(app)
    with pytest.raises(ValueError, match="mail is the queue of none"):
        ran(app, "mail")
