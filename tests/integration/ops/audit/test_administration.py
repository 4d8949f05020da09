"""Errors for an operator whose audit log, or whose backups with its heads, cannot be read."""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from domain.errors import Unavailable
from ops.audit.administration import VerifyAudit, audit_verbs
from ops.audit.verification import KeptHead


def test_a_log_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "audit-000001.jsonl")

    refused = asked_of(tmp_path, lambda: ())

    assert "the audit log cannot be read" in refused.message
    assert str(tmp_path) in refused.hint


def test_backups_that_cannot_be_looked_at_are_to_be_looked_for(tmp_path: Path) -> None:
    def kept() -> Sequence[KeptHead]:
        raise PermissionError(13, "Permission denied", "backups")

    refused = asked_of(tmp_path, kept)

    assert "the backups cannot be looked at" in refused.message
    assert "HYPERPAGE_BACKUPS" in refused.hint


def asked_of(folder: Path, kept: Callable[[], Sequence[KeptHead]]) -> Unavailable:
    verify = next(one for one in audit_verbs(folder, kept) if one.name == "audit.verify")

    async def ask() -> None:
        await verify.carry_out(VerifyAudit())

    with pytest.raises(Unavailable) as caught:
        asyncio.run(ask())
    return caught.value
