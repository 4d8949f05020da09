"""The client without an event loop, against a real service that runs beside it."""

import asyncio
import inspect
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hyperpage_client import Unreachable, errors, opening
from hyperpage_client.answers.app_state import AppStateRow
from hyperpage_client.commands.jobs import Enqueue
from hyperpage_client.sync import connect, opened, tables
from hyperpage_client.tables import app_state as asynchronous
from tests.support.repository import ROOT
from tests.support.services.killable import Killable


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The address of a service that runs beside the test."""
    served = Killable(tmp_path)
    asyncio.run(served.start())
    try:
        yield served.url
    finally:
        served.stop()


def test_whatever_the_other_client_does_is_done_and_waited_for(url: str):
    with connect(url, actor="tester") as client:
        answer = client.send(Enqueue(type="sync", name="nightly", id="one"))
        assert answer.key == "one"
        with client.batch() as batch:
            pending = [
                batch.add("app_state.set", {"key": f"k-{number}", "value": number}) for number in range(3)
            ]
        assert [one.answer.key for one in pending] == ["k-0", "k-1", "k-2"]
        assert [row["key"] for row in client.list("app_state")] == ["k-0", "k-1", "k-2"]
        assert [row.key for row in client.app_state.list()] == ["k-0", "k-1", "k-2"]
        assert client.tool_configs.set("github", config={"a": 1}).version == 1
        assert client.tool_configs.get("github").config == {"a": 1}
        assert client.count("app_state") == 3
        assert client.get("jobs", id="one")["name"] == "nightly"
        assert [event.type for event in client.history("jobs", id="one")] == ["job.enqueued.v1"]
        with client.subscribe(table="jobs") as events:
            assert next(events).actor == "tester"
        with pytest.raises(errors.NotFound):
            client.get("jobs", id="two")

        stored = client.send_durable("app_state.delete", {"key": "k-0"}, wait=False)
        assert client.durable_answer(stored).events == ["app_state.deleted.v1"]
        with pytest.raises(TimeoutError, match=r"one has not ended within 2 s: it is pending, in the queue"):
            client.wait_for("one", timeout_seconds=2)
        client.send("jobs.cancel", {"id": "one"})
        assert client.wait_for("one", timeout_seconds=30).state == "cancelled"


def test_threads_share_one_and_a_block_that_raises_sends_nothing(url: str):
    with connect(url) as client:
        threads = [
            threading.Thread(target=client.send, args=("app_state.set", {"key": f"k-{number}", "value": 1}))
            for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.count("app_state") == 8

        def failing() -> None:
            with client.batch() as batch:
                batch.add("app_state.set", {"key": "never", "value": 1})
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            failing()
        assert client.count("app_state") == 8


def test_a_fork_is_told_to_connect_by_itself(url: str, monkeypatch: pytest.MonkeyPatch):
    with connect(url) as client:
        # A forked child has another process id, and not its parent's threads.
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(RuntimeError, match="connect behind it"):
            client.count("jobs")
        monkeypatch.undo()
        assert client.count("jobs") == 0


# A job is enqueued, the process forks while a call holds the portal's lock, and both processes go on.
FORKING = """
import os, sys
from hyperpage_client import App

app = App(sys.argv[1])

@app.job
def look(url: str) -> str:
    return url

first = look.enqueue_sync("a")
before = app.client()
with before._portal._beginning:
    child = os.fork()
if child == 0:
    for use in (lambda: before.count("jobs"), before.close):
        try:
            use()
        except RuntimeError as error:
            print(error, flush=True)
    print(look.enqueue_sync("b").id != first.id, app.client() is before, flush=True)
    sys.exit()
print(os.waitpid(child, 0)[1], app.client() is before, flush=True)
look.configure(command_id="order-1").enqueue_sync("c")
look.configure(command_id="order-1").enqueue_sync("c")
try:
    first.result(timeout_seconds=0)
except TimeoutError:
    print("pending", before.count("jobs"))
"""


def test_a_process_connects_when_it_first_enqueues_and_one_that_is_forked_off_by_itself(url: str):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING, url],
        cwd=ROOT / "clients/python",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [
        "a client does not survive a fork: connect behind it, in each process",
        "True False",
        "0 True",
        "pending 3",
    ]
    assert (done.stdout.splitlines(), done.stderr) == (said, "")


def test_a_client_that_nobody_closes_ends_with_its_process(url: str):
    program = (
        "import sys; from hyperpage_client.sync import opened; client = opened(sys.argv[1]);"
        "client.app_state.set('k', 1); rows = client.app_state.list(); print(next(rows).key)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, url],
        cwd=ROOT / "clients/python",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("k\n", "")


def test_whoever_waits_when_it_is_closed_is_told(url: str):
    client = opened(url)
    said: list[BaseException] = []
    waiting = threading.Barrier(3)

    def wait(work: Callable[[], object]) -> None:
        waiting.wait()
        try:
            work()
        except RuntimeError as error:
            said.append(error)

    events = client.subscribe(table="jobs")
    works = (lambda: next(events), lambda: client.durable_answer("never", timeout_seconds=3_600))
    threads = [threading.Thread(target=wait, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    waiting.wait()
    client.close()
    for thread in threads:
        thread.join(30)
    # Each call fails with the error of what closed first.
    assert len(said) == 2
    assert {str(one) for one in said} <= {"the client is closed", "the connection is closed"}


def test_what_is_read_in_part_may_be_dropped_by_any_thread(url: str):
    with connect(url) as client:
        for key in ("a", "b", "c"):
            client.app_state.set(key, 1)
        rows = client.app_state.list(limit=1)
        assert next(rows).key == "a"
        portal = client._portal

        async def drop() -> None:
            # As the garbage collector does it, in any thread in which it runs.
            rows.close()  # type: ignore[attr-defined]

        portal.run(drop())
        assert client.count("app_state") == 3


def test_one_that_is_closed_says_so(url: str):
    client = opened(url)
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="the client is closed"):
        client.count("jobs")


def test_nobody_there_is_said_and_no_thread_stays():
    before = threading.active_count()
    # The port is bound, and nothing listens there.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"nats://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(Unreachable), connect(address, timeout_seconds=0.1):
            pass
    assert threading.active_count() == before


def test_methods_look_as_those_of_the_other_client_do():
    method = tables.AppState.list
    assert (method.__name__, method.__doc__) == ("list", asynchronous.AppState.list.__doc__)
    signature = inspect.signature(method)
    assert signature.parameters == inspect.signature(asynchronous.AppState.list).parameters
    assert signature.return_annotation == Iterator[AppStateRow]
    assert inspect.signature(tables.AppState.get).return_annotation is AppStateRow


def test_connect_takes_what_the_other_connect_takes():
    options = set(inspect.signature(opening.connect).parameters) - {"url"}
    assert opening.ConnectOptions.__annotations__.keys() == options
