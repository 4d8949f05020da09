"""The requests of operators about the audit log: `audit_verbs`."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from bus.serving.administration import AdministrationVerb
from domain.errors import Invalid, Unavailable
from ops.audit.entry import head_in
from ops.audit.files import AuditError
from ops.audit.listing import ListAudit, listed
from ops.audit.verification import KeptHead, Verdict, verify

T = TypeVar("T")


class VerifyAudit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A check of the audit log; `heads` are earlier ones, from `audit verify`, `status` or backups."""

    heads: Annotated[tuple[str, ...], msgspec.Meta(max_length=100)] = ()


def audit_verbs(folder: Path, kept: Callable[[], Sequence[KeptHead]]) -> tuple[AdministrationVerb, ...]:
    """The requests about the log in a folder. Only one request reads the log at a time.

    `kept` returns the earlier heads of the log that backups have recorded.
    """
    reading = asyncio.Lock()

    def reads(work: Callable[[Any], T]) -> Callable[[Any], Awaitable[T]]:
        async def answer(request: Any) -> T:
            async with reading:
                try:
                    return await asyncio.to_thread(work, request)
                except AuditError as error:
                    raise Unavailable(
                        f"the audit log cannot be read: {error.strerror}",
                        hint=f"nothing was changed: the user of the service has to read all of {folder}"
                        " (`ls -l`)",
                    ) from error
                except OSError as error:
                    raise Unavailable(
                        f"the backups cannot be looked at: {error}",
                        hint="nothing was changed: see that their place (HYPERPAGE_BACKUPS) is there, and may"
                        " be read by the user of the service",
                    ) from error

        return answer

    def found(request: VerifyAudit) -> Verdict:
        known = [head_in(one) for one in request.heads]
        if None in known:
            raise Invalid("a head is a number and a hash, as 7:9f86d0…, or a hash alone", path="$.heads")
        return verify(folder, [one for one in known if one is not None], kept())

    return (
        AdministrationVerb(
            name="audit.list",
            shape=ListAudit,
            carry_out=reads(lambda wish: listed(folder, wish)),
            changes_nothing=True,
        ),
        AdministrationVerb(
            name="audit.verify", shape=VerifyAudit, carry_out=reads(found), changes_nothing=True
        ),
    )
