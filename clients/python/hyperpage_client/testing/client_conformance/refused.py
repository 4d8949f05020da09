"""Refusals as a service sends them, for those that a test cannot make it give."""

from typing import Any

from hyperpage_client.contract.headers import ERROR, ERROR_CODE


def refusal(code: str, number: int, **details: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """The headers and the body of a refusal."""
    message = f"this is {code}"
    error = {"code": code, "message": message, "hint": "see the reference", "details": details}
    return {ERROR: f"{code}: {message}", ERROR_CODE: str(number)}, {"error": error}


def nobody_there() -> tuple[dict[str, str], None]:
    """The headers and the body of NATS's own answer when no service listens on a subject."""
    return {"Status": "503"}, None
