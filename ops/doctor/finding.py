"""A finding of the doctor: `DoctorFinding`."""

from typing import Any, Literal

import msgspec

DoctorLevel = Literal["well", "attention", "wrong"]


class DoctorFinding(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one check. `check` is its stable name, `hint` says what to do; `figures` are measured.

    *Attention* is for something that works but should be changed, *wrong* for something that does not work.
    """

    check: str
    level: DoctorLevel = "well"
    message: str
    hint: str = ""
    figures: dict[str, Any] = {}
