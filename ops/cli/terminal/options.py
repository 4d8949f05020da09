"""The options that every command takes, and the settings that they lead to."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from ops.settings import Settings
from ops.settings_sources import load_settings

# The variable that a setting of this name is read from.
AGGREGATES = "HYPERPAGE_AGGREGATES"

_OPTIONS = Group("Options", sort_key=50)
# Shown below a command's own options, which readers look for first.
_EVERYWHERE = Group("Options of every command", sort_key=100)

DataOption = Annotated[
    Path | None,
    Parameter(
        name="--data",
        group=_EVERYWHERE,
        help="The service's data directory. Default: HYPERPAGE_DATA, or else ./data.",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool,
    Parameter(
        name="--json",
        group=_EVERYWHERE,
        negative="",
        help="The result as JSON on stdout; all else goes to stderr.",
        show_default=False,
    ),
]


def option(
    help_text: str, *, name: str | None = None, completer: Callable[[Any], Any] | None = None
) -> Parameter:
    """An option with its help; its default stands in the text, in words, where it is not obvious.

    `completer` answers with what the shell offers for it.
    """
    return Parameter(
        name=name, group=_OPTIONS, help=help_text, negative="", show_default=False, completer=completer
    )


AggregatesOption = Annotated[
    str | None,
    option("Aggregates of your own to try out, with commas between them: shop.basket, say. Default: none."),
]


def one_of(*choices: str) -> Callable[[Any], tuple[str, ...]]:
    """A completer for an option of a few choices that are checked where all settings are."""
    return lambda context: choices


def settings_for(data: Path | None, **flags: Any) -> Settings:
    """The settings, with those of the command line.

    Aggregates that are tried out are told to whatever this process imports from now on, and to those that it
    starts: which ones there are is known before anything else.

    Raises:
        SettingsError: one of them is wrong.
    """
    settings = load_settings({"data": data, **flags})
    if settings.aggregates:
        os.environ[AGGREGATES] = ",".join(settings.aggregates)
    return settings
