"""A function that was made a job."""

import inspect

import msgspec

from hyperpage_client import App
from hyperpage_client.testing import memory_queue

app = App("nats://nowhere.invalid")


@app.job(name="look")
def look_at(page: "Page", depth: int = 1) -> "Page":
    """Looks at a page."""
    return Page(f"{page.url}/{depth}")


class Page(msgspec.Struct):
    url: str


def test_a_job_may_name_what_its_module_has_further_down():
    with memory_queue(app):
        assert look_at.configure(priority=4).enqueue_sync(Page("a"), depth=2).result() == Page("a/2")


def test_a_job_looks_as_its_function_does():
    assert (look_at.__name__, look_at.__doc__, look_at.type) == ("look_at", "Looks at a page.", "look")
    assert inspect.signature(look_at) == inspect.signature(look_at.function)
