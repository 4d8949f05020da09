"""A function that was made a job."""

import inspect

import msgspec

from hyperpage_client import App
from hyperpage_client.commands.jobs import AfterGroup
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


def test_a_job_says_which_group_it_belongs_to_and_which_it_waits_for():
    follows = AfterGroup(id="before")

    @App("nats://nowhere.invalid").job(group_id="all", after_group=follows)
    def note() -> None: ...

    assert (note.command().group_id, note.command().after_group) == ("all", follows)
    other = note.configure(group_id="other", after_group=AfterGroup(id="all", when="all_ended")).command()
    assert (other.group_id, other.after_group) == ("other", AfterGroup(id="all", when="all_ended"))
