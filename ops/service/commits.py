"""A commit on its way to all that it concerns: `hand_on`."""

import threading

from bus.serving.durable import Delivery
from bus.writing.submission import Commit
from ops.http.backend import Backend
from ops.parts import Parts
from ops.service.notices import Notices
from ops.service.traces import Traces


def hand_on(
    commit: Commit, parts: Parts, notices: Notices, *, traces: Traces | None, backend: Backend | None
) -> None:
    """Answers the commands of a commit that is on disk, and wakes whatever follows the log."""
    requested = []
    for one in commit.submissions:
        if isinstance(one.context, Delivery):
            parts.durable.answered(one)
        elif isinstance(one.context, threading.Event):
            one.context.set()
        else:
            requested.append(one)
    # Before the events go out: clients send their next commands meanwhile.
    parts.intake.answer(requested)
    if traces is not None:
        # Before the events go out: their spans end when the stream has them.
        traces.committed(commit)
    parts.archiver.notify(commit)
    if commit.rows:
        if backend is not None:
            backend.committed(commit.rows[-1].position)
        parts.relay.notify(commit.rows)
        parts.mirrors.notify(commit.rows)
    for notice in commit.notices:
        notices.of_commit(notice)
