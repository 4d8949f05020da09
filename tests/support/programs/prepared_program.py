"""The command line with all modules loaded: on an order, it forks into a process that runs a command.

Orders come on the socket whose number is its argument: what to run, and a socket for the answers, which are
the id of the process and, once that has ended, its exit code.
"""

import gc
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
from importlib import import_module
from typing import Any, NoReturn

# Modules that are otherwise loaded only when a service starts, answers or backs up.
MODULES = (
    "ops.cli.main",
    "ops.console.routes",
    "ops.http.server",
    "ops.metrics.collector",
    "ops.service.logs",
    "ops.service.process",
)
NUMBER = struct.Struct("=q")
MOST_BYTES = 1 << 18


def main() -> None:
    """Carries out orders until the process that sends them has gone."""
    for module in MODULES:
        import_module(module)
    # Frozen objects stay in memory that is shared with the forked processes.
    gc.collect()
    gc.freeze()
    told = socket.socket(fileno=int(sys.argv[1]))
    is_ended, ends = socket.socketpair()
    for one in (is_ended, ends):
        one.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(ends.fileno())
    # Ctrl-C goes to all processes in the foreground; the tests and the forked processes handle it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked_by: dict[int, socket.socket] = {}
    selector = selectors.DefaultSelector()
    selector.register(told, selectors.EVENT_READ)
    selector.register(is_ended, selectors.EVENT_READ)
    while True:
        ready = {key.fileobj for key, _ in selector.select()}
        if is_ended in ready:
            is_ended.recv(4_096)
            _tell_ends(asked_by)
        if told in ready:
            message, descriptors, _, _ = socket.recv_fds(told, MOST_BYTES, 4)
            if not message:
                return
            answers = socket.socket(fileno=descriptors[3])
            if (process_id := os.fork()) == 0:
                selector.close()
                for one in (told, is_ended, ends, answers, *asked_by.values()):
                    one.close()
                _become(json.loads(message), descriptors[:3])
            for descriptor in descriptors[:3]:
                os.close(descriptor)
            asked_by[process_id] = answers
            answers.sendall(NUMBER.pack(process_id))


def _tell_ends(asked_by: dict[int, socket.socket]) -> None:
    for process_id in list(asked_by):
        ended, status = os.waitpid(process_id, os.WNOHANG)
        if ended:
            with asked_by.pop(process_id) as answers:
                try:
                    answers.sendall(NUMBER.pack(os.waitstatus_to_exitcode(status)))
                except OSError:
                    # The test no longer waits for the exit code.
                    continue


def _become(asked: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Goes on as a process that was started with these arguments, variables and streams."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    # New objects: the old ones remember the properties of their old files.
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", errors="backslashreplace", buffering=1, closefd=False)
    os.environ.clear()
    os.environ.update(asked["environment"])
    time.tzset()
    os.chdir(asked["folder"])
    sys.argv = ["hyperpage", *asked["arguments"]]
    from ops.cli.main import main as run

    run()
    raise AssertionError("it has exited")


if __name__ == "__main__":
    main()
