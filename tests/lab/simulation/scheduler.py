"""One seeded scheduler for everything: loops of several processes, threads, the network, and the time.

    loop of a client ─┐
    loop of a service ├─▶ who is next? (by chance) ─▶ one callback of it ─▶ time goes on by microseconds
    loop of its writer┘                                                        │
       ▲                                                                       ▼
       └──────────────────── what is due by now: timers, messages on the way, work of other threads

Each thread of the product is a `SimulatedLoop` here. Within a loop, callbacks come in the order in which they
were registered, as asyncio promises; which loop comes next is chance. Time passes only as the scheduler says.
So a run depends on nothing but its seed.
"""

import asyncio
import contextvars
import hashlib
import heapq
import random
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

# The simulated time of a callback.
STEP_SECONDS = 20e-6
# How often other threads hold a thread up, and for how long at most.
STALL_PROBABILITY = 0.004
LONGEST_STALL_SECONDS = 0.004
# How long another thread takes for its work.
QUICKEST_THREAD_SECONDS = 30e-6
SLOWEST_THREAD_SECONDS = 0.003
# More steps than any run needs.
MOST_STEPS = 3_000_000


class StuckError(AssertionError):
    """The run does not come to an end."""


class NotYet(Exception):
    """Raised by work in another thread that would have to wait: it is tried again a little later."""


class Process:
    """A simulated process: several loops and their connections, which are killed or frozen together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.is_frozen = False
        # Called when the process dies, as to end its sockets.
        self.on_death: list[Callable[[], object]] = []
        # Callbacks that came due while the process was frozen.
        self.kept: list[Callable[[], object]] = []


class Scheduler:
    """Chooses the next loop, and keeps the time. `now` is in seconds from the beginning of the run."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.steps = 0
        self.running: SimulatedLoop | None = None
        self.loops: list[SimulatedLoop] = []
        # Loops of dead processes, too: if their tasks were collected, their `finally` blocks would run.
        self._every_loop: list[SimulatedLoop] = []
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._number = 0
        self._trace = hashlib.sha256()
        # Every line of the trace, if it is wanted.
        self.lines: list[str] | None = None

    @property
    def time(self) -> float:
        """The time in the thread that runs now."""
        return self.now + (0.0 if self.running is None else self.running.ahead)

    @property
    def trace(self) -> str:
        """The hash of all lines of the trace, which is another one for every other run."""
        return self._trace.hexdigest()

    def note(self, what: str) -> None:
        """Adds a line to the trace."""
        line = f"{self.now:.6f} {what}\n"
        self._trace.update(line.encode())
        if self.lines is not None:
            self.lines.append(line)

    def know(self, loop: "SimulatedLoop") -> None:
        """Adds a new loop."""
        self._every_loop.append(loop)
        if not loop.process.is_dead:
            self.loops.append(loop)

    def at(self, when: float, what: Callable[[], object]) -> None:
        """Calls `what` at a time."""
        self._number += 1
        heapq.heappush(self._due, (when, self._number, what))

    def after(self, seconds: float, what: Callable[[], object]) -> None:
        """Calls `what` after some seconds."""
        self.at(self.time + seconds, what)

    def of_process(self, process: Process, what: Callable[[], object]) -> Callable[[], None]:
        """A function that calls `what` unless the process is dead; if it is frozen, once it goes on."""

        def called() -> None:
            if process.is_dead:
                return
            if process.is_frozen:
                process.kept.append(what)
            else:
                what()

        return called

    def freeze(self, process: Process) -> None:
        """Stops the process until `thaw`."""
        process.is_frozen = True

    def thaw(self, process: Process) -> None:
        """Lets the process go on where it was."""
        process.is_frozen = False
        kept, process.kept = process.kept, []
        for what in kept:
            what()

    def kill(self, process: Process) -> None:
        """Ends the process for good."""
        process.is_dead = True
        for what in process.on_death:
            what()
        self.loops = [one for one in self.loops if not one.process.is_dead]

    def run(self, work: Coroutine[Any, Any, T], process: Process) -> T:
        """The result of `work` in a loop of that process, while all other loops run, too.

        Raises:
            StuckError: there is nothing left to do, or too much.
        """
        loop = new_loop(self, process, process.name)
        task = loop.create_task(work)
        while not task.done():
            self._step()
        return task.result()

    def _step(self) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise StuckError(f"{MOST_STEPS} steps were not enough")
        due = self._due
        while due and due[0][0] <= self.now:
            heapq.heappop(due)[2]()
        now = self.now
        ready = [
            one for one in self.loops if one.ready and one.held_until <= now and not one.process.is_frozen
        ]
        if not ready:
            self._pass_the_time()
            return
        loop = ready[0] if len(ready) == 1 else ready[int(self.random.random() * len(ready))]
        loop.run_next()
        self.now += STEP_SECONDS
        if self.random.random() < STALL_PROBABILITY:
            loop.held_until = self.now + self.random.random() * LONGEST_STALL_SECONDS

    def _pass_the_time(self) -> None:
        held = [one.held_until for one in self.loops if one.ready and not one.process.is_frozen]
        if self._due:
            held.append(self._due[0][0])
        if not held:
            raise StuckError("nothing is left that could happen")
        self.now = max(self.now, min(held))

    def end(self) -> None:
        """Closes all remaining loops; their clean-up has no effect on any other."""
        for loop in self._every_loop:
            loop.process.is_dead = True
        for loop in self._every_loop:
            loop.end()


class SimulatedLoop(asyncio.AbstractEventLoop):
    """An event loop of one simulated thread."""

    # Opens a connection to a server by its host and port; set by the simulated network.
    connect_to: Callable[["SimulatedLoop", Any, str, int], Coroutine[Any, Any, Any]]

    def __init__(self, scheduler: Scheduler, process: Process, name: str) -> None:
        self.scheduler = scheduler
        self.process = process
        self.name = name
        self.ready: deque[asyncio.Handle] = deque()
        # Until this time, the thread is held up.
        self.held_until = 0.0
        # How long the running callback took so far.
        self.ahead = 0.0
        self._tasks: list[asyncio.Task[Any]] = []
        scheduler.know(self)

    @property
    def _ready(self) -> deque[asyncio.Handle]:
        # asyncio's own loops have their ready queue under this name.
        return self.ready

    def run_next(self) -> None:
        """Runs the next callback."""
        handle = self.ready.popleft()
        if handle._cancelled:
            return
        scheduler = self.scheduler
        scheduler.note(f"{self.process.name}/{self.name} {_name_of(handle)}")
        scheduler.running = self
        events._set_running_loop(self)
        try:
            handle._run()
        finally:
            events._set_running_loop(None)
            scheduler.running = None
            if self.ahead:
                self.held_until = scheduler.now + self.ahead
                self.ahead = 0.0

    def take_time(self, seconds: float) -> None:
        """Makes the running callback take so much longer, while other threads go on."""
        self.ahead += seconds

    def end(self) -> None:
        """Closes its remaining tasks."""
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                # A task may wait in a `finally` for something that never comes.
                with suppress(BaseException):
                    task.get_coro().close()
        self._tasks.clear()
        self.ready.clear()

    # The interface of a loop for asyncio.

    def time(self) -> float:
        return self.scheduler.time

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if not self.process.is_dead:
            self.ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)

        def is_due() -> None:
            if not timer._cancelled:
                self.ready.append(timer)

        self.scheduler.at(when, self.scheduler.of_process(self.process, is_due))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Any,
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = self.create_future()
        scheduler = self.scheduler

        def work() -> None:
            try:
                result, error = func(*args), None
            except NotYet:
                begin()
                return
            except BaseException as caught:  # as an executor does
                result, error = None, caught
            scheduler.note(f"{self.process.name}/thread {_text_of(func)}")
            self.call_soon_threadsafe(_settle, future, result, error)

        def begin() -> None:
            seconds = scheduler.random.uniform(QUICKEST_THREAD_SECONDS, SLOWEST_THREAD_SECONDS)
            scheduler.after(seconds, scheduler.of_process(self.process, work))

        begin()
        return future

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], Any], host: str, port: int, **_: Any
    ) -> tuple[Any, Any]:
        return await SimulatedLoop.connect_to(self, protocol_factory(), host, port)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self.process.is_dead

    def is_closed(self) -> bool:
        return self.process.is_dead

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.scheduler.note(f"{self.name} exception {context.get('message')}")


def new_loop(scheduler: Scheduler, process: Process, name: str) -> SimulatedLoop:
    """One more thread of a process, which has an event loop."""
    # The abstract methods that are missing are never called.
    return SimulatedLoop(scheduler, process, name)  # type: ignore[abstract]


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _name_of(handle: asyncio.Handle) -> str:
    callback = handle._callback  # type: ignore[attr-defined]
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return _text_of(owner.get_coro())
    return _text_of(callback)


def _text_of(what: Any) -> str:
    return getattr(what, "__qualname__", None) or type(what).__name__
