"""Ties a program to the process that starts it: the program is killed when that process ends in any way.

This file runs as a script, in a process of its own: it sets up the tie and then becomes the program. A
`preexec_fn` would do the same inside the fork of a process with threads, where Python code may wait for ever
for a lock that another thread held.

It imports the standard library alone, since it runs without site-packages (a start costs about 30 ms).
"""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
NO_PIPE = -1
# On Linux the kernel kills the program; elsewhere a second process does, when a pipe is closed.
NEEDS_PIPE = sys.platform != "linux"


def tethered(program: Sequence[str], *, pipe: int = NO_PIPE) -> list[str]:
    """The command line that runs `program`, tied to the calling process.

    On Linux, the tie is to the calling *thread*: its end kills the program, too. `pipe` is the inherited read
    end of a pipe whose write end the caller alone holds; the program is killed when that end is closed.
    """
    # `-I -S`: neither the caller's environment nor its packages can change what runs.
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(pipe), *program]


def main() -> None:
    caller, pipe, *program = sys.argv[1:]
    keep_private()
    if int(pipe) == NO_PIPE:
        die_with(int(caller))
    else:
        leave_watchdog(int(pipe))
    os.execv(program[0], program)


def keep_private() -> None:
    """Makes the program's new files readable by their owner alone, and turns core dumps off."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def die_with(caller: int) -> None:
    """Has the kernel kill this process when its parent ends. This outlasts `execv` (prctl(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    # SIGKILL, since SIGTERM can be slow or, in a stopped process, without effect.
    if libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL)) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    # If the parent ended before the call, the kernel does not report it any more.
    if os.getppid() != caller:
        sys.exit("the process to be tied to has ended already")


def leave_watchdog(pipe: int) -> None:
    """Forks a process that kills this one when `pipe` is closed at the other end, and then ends itself."""
    program = os.getpid()
    if os.fork() != 0:
        os.close(pipe)
        return
    # Other inherited descriptors (a lock, for instance) are to be held by the program alone.
    for descriptor in [int(name) for name in os.listdir("/dev/fd")]:  # noqa: PTH208 - os alone, to start quickly
        if descriptor > sys.stderr.fileno() and descriptor != pipe:
            close_if_open(descriptor)
    while os.read(pipe, 1):
        pass
    # If the program has ended, its number may belong to another process, which is not our parent.
    if os.getppid() == program:
        os.kill(program, signal.SIGKILL)
    os._exit(0)


def close_if_open(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        # The listing includes its own descriptor, which is closed already.
        return


if __name__ == "__main__":
    main()
