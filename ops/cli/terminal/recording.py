"""Records in the audit log what the command line does by itself, without the running service: `recorded`."""

import getpass
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from ops.cli.terminal.exits import Exit, failure
from ops.cli.terminal.output import say
from ops.store.data_directory import read_runtime

if TYPE_CHECKING:
    from ops.audit.files import AuditError
    from ops.settings import Settings


@contextmanager
def recorded(
    settings: "Settings", action: str, request: Mapping[str, Any], *, anyway: bool = False
) -> Iterator[dict[str, Any]]:
    """Records the beginning of an act, and its end after the block, with the members that the block adds.

    `anyway` is for acts that make room or take rights away: if such an act cannot be recorded, it is done
    nevertheless, and the terminal says so. A command that the running service has started records nothing:
    the service does.

    Raises:
        CommandFailure: the act cannot be recorded, and is not done.
    """
    from ops.audit.files import AuditError
    from ops.audit.own_acts import recorded as written
    from ops.audit.trail import audit_trail
    from ops.store.troubles import hint_of

    said = dict(request)
    runtime = read_runtime(settings.data)
    is_services_own = runtime is not None and runtime.pid == os.getppid()
    trail = audit_trail(settings.data, settings.audit_kept_mib)
    writing = (
        nullcontext()
        if is_services_own
        else written(trail, action, said, by=user(), unless_written=_say_so if anyway else None)
    )
    try:
        with writing:
            yield said
    except AuditError as error:
        raise failure(
            Exit.FAILED,
            "not_recorded",
            f"{error.strerror}, and what cannot be recorded is not done ({error.filename})",
            hint_of(error),
        ) from error


def user() -> str:
    """The name of the user who runs the command line, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # In a container, for example, the user may have a number and no name.
        return str(os.getuid())


def _say_so(error: "AuditError") -> None:
    say(f"this does not stand in the audit log: {error.strerror} ({error.filename})")
