"""The options that every command takes, and what is behind them."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from ops.settings import Settings, load_settings

# Shown below a command's own options, which are what its reader looks for.
EVERYWHERE = Group("Options of every command", sort_key=100)

DataOption = Annotated[
    Path | None,
    Parameter(
        name="--data",
        group=EVERYWHERE,
        help="The service's data directory. Default: ./data, or what HYPERPAGE_DATA says.",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool,
    Parameter(
        name="--json",
        group=EVERYWHERE,
        negative="",
        help="Print the result as JSON on stdout; everything else goes to stderr.",
        show_default=False,
    ),
]


def option(help_text: str, *, name: str | None = None) -> Parameter:
    """An option with its help; its default stands in the text, in words, where it is not obvious."""
    return Parameter(name=name, help=help_text, negative="", show_default=False)


def settings_for(data: Path | None, **flags: Any) -> Settings:
    """The settings, with what was said on the command line.

    Raises:
        SettingsError: one of them is wrong.
    """
    return load_settings({"data": data, **flags})
