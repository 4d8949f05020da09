"""Time, chance and threads of a process, taken from the scheduler instead of the machine."""

import contextlib
import logging
import os
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from bus.serving.durable.pace import Pace
from bus.serving.queries import answering
from bus.serving.queries.lookups import Lookups
from bus.serving.queries.turns import Turns
from bus.writing import writer
from bus.writing.loop_thread import LoopThread
from bus.writing.waiting import BUSY_AFTER_MS, Waiting
from ops.store import opening
from tests.lab.simulation.scheduler import NotYet, Process, Scheduler, new_loop

# The time at which every run begins, in seconds since the epoch.
BEGINNING = 1_800_000_000.0


class SteppedThread(LoopThread):
    """The product's thread with an event loop, as a loop of the scheduler; all else is the product's code."""

    scheduler: Scheduler

    def __init__(self, name: str) -> None:
        running = self.scheduler.running
        assert running is not None, "threads are started from a loop"
        super().__init__(name)
        self._process: Process = running.process
        self._name = name
        self._task: Any = None

    @property
    def is_alive(self) -> bool:
        return self._task is not None and not self._task.done()

    @property
    def is_current(self) -> bool:
        return self.scheduler.running is self._loop

    def start(self, work: Any) -> None:
        self._work = work
        self._loop = new_loop(self.scheduler, self._process, self._name)
        self._task = self._loop.create_task(self._serve())

    def join(self) -> None:
        if self.is_alive:
            raise NotYet
        self._task.result()


@contextmanager
def determined(scheduler: Scheduler, seed: int) -> Iterator[None]:
    """Within the block, all chance comes from the seed, and all time from the scheduler."""
    noise = random.Random(seed)
    state = random.getstate()
    random.seed(seed)
    usual = logging.root.manager.disable
    logging.disable(logging.CRITICAL)

    def seconds() -> float:
        return BEGINNING + scheduler.time

    def nanoseconds() -> int:
        return int(seconds() * 1e9)

    with ExitStack() as stack:
        for module, name, replacement in (
            (time, "time", seconds),
            (time, "time_ns", nanoseconds),
            (time, "monotonic", seconds),
            (time, "monotonic_ns", nanoseconds),
            (time, "perf_counter", seconds),
            (time, "thread_time", seconds),
            (time, "perf_counter_ns", nanoseconds),
            (time, "clock_gettime_ns", lambda _clock: nanoseconds()),
            (os, "urandom", noise.randbytes),
            (random, "_urandom", noise.randbytes),
            # No real syncs: the model alone decides which data a power cut loses.
            (os, "fsync", lambda _file: None),
            (os, "fdatasync", lambda _file: None),
            (writer, "LoopThread", SteppedThread),
            (answering, "LoopThread", SteppedThread),
            (SteppedThread, "scheduler", scheduler),
            # This check takes longer than the rest of a start, and has the same result each time.
            (opening, "require_own_schema", lambda *_: None),
        ):
            stack.enter_context(patch.object(module, name, replacement, create=True))
        for part, defaults in (
            (Lookups, (seconds,)),
            (Waiting, (BUSY_AFTER_MS, nanoseconds)),
            (Turns, (BUSY_AFTER_MS, nanoseconds)),
            (Pace, (seconds,)),
        ):
            stack.enter_context(patch.object(part.__init__, "__defaults__", defaults))
        try:
            yield
        finally:
            with contextlib.suppress(Exception):
                scheduler.end()
            random.setstate(state)
            logging.disable(usual)
