"""Lines of the log: keys and values, one line for one thing, and nothing of what was sent."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from bus.incident import internal
from ops.service.logs import configure_logging
from ops.settings import LogFormat

SECRET = "4111-1111-1111-1111"


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    yield
    root.handlers[:] = kept
    root.setLevel(level)


def logged(form: LogFormat, error: Exception | None = None, **extra: object) -> str:
    stream = io.StringIO()
    configure_logging("INFO", form, stream)
    logging.getLogger("bus.somewhere").warning("one thing %s", "happened", exc_info=error, extra=extra)
    return stream.getvalue()


def failed(value: str) -> Exception:
    """The exception of a defect that stumbles over data, with the data in its local variables."""
    try:
        try:
            int(value)
        except ValueError as error:
            raise RuntimeError("the sum is wrong") from error
    except RuntimeError as error:
        return error
    raise AssertionError("it is no number")


def test_a_line_of_json_has_the_keys_that_are_known_and_no_other():
    line = json.loads(logged("json", incident="i-1", correlation_id="c-1", body=SECRET))
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "one thing happened",
        "level": "warning",
        "logger": "bus.somewhere",
        "incident": "i-1",
        "correlation_id": "c-1",
    }


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_shows_the_way_and_nothing_that_was_sent(form: LogFormat):
    text = logged(form, failed(SECRET))
    assert "test_logs.py" in text
    assert "in failed" in text
    assert "RuntimeError: the sum is wrong" in text
    assert "ValueError" in text
    assert SECRET not in text


def test_what_somebody_sent_cannot_look_like_a_line_of_ours():
    text = logged("console", correlation_id="x\n2026-11-25T10:15:24Z [error] all is lost", path="/a\x1b[2J")
    assert text.count("\n") == 1
    assert "\x1b" not in text


def test_an_incident_is_logged_under_the_id_that_its_victim_is_told():
    stream = io.StringIO()
    configure_logging("INFO", "json", stream)
    logger = logging.getLogger("bus.somewhere")
    refusal = internal(logger, "it broke", failed(SECRET), command="jobs.enqueue", correlation_id=None)
    line = json.loads(stream.getvalue())
    assert line["incident"] == refusal.details["incident"]
    assert (line["command"], "correlation_id" in line) == ("jobs.enqueue", False)
    assert SECRET not in stream.getvalue() + refusal.message
