"""The guides, and the code in them that tests carry out."""

import re

from tests.support.repository import ROOT


def guide(name: str) -> str:
    """The text of a guide, by its name below `docs`."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def blocks(language: str, text: str) -> list[str]:
    """The blocks of code in that language, in their order."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
