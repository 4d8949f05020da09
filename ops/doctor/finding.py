"""A finding of the doctor."""

from typing import Any, Literal

import msgspec

DoctorLevel = Literal["well", "attention", "wrong"]


class DoctorFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `check` is a name that stays, `hint` what to do; `figures` are measured.

    *Attention* is for what works, and should not stay so; *wrong* is what does not do what it is there for.
    """

    check: str
    level: DoctorLevel = "well"
    message: str
    hint: str = ""
    figures: dict[str, Any] = {}
