"""The options that every command takes, and the settings that follow from them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from ops.settings import Settings
from ops.settings_sources import load_settings

# The environment variable of the setting `aggregates`.
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
    """An option with its help; the help text names the default, in words, if it is not obvious.

    `completer` answers with the words that the shell offers for it.
    """
    return Parameter(
        name=name, group=_OPTIONS, help=help_text, negative="", show_default=False, completer=completer
    )


AggregatesOption = Annotated[
    str | None,
    option("Aggregates of your own to try out, with commas between them: shop.basket, say. Default: none."),
]


def one_of(*choices: str) -> Callable[[Any], tuple[str, ...]]:
    """A completer for an option with a few choices, which are checked together with all settings."""
    return lambda context: choices


def settings_for(data: Path | None, **flags: Any) -> Settings:
    """The settings, including those of the command line.

    Aggregates in the settings are put into the environment, where the modules that this process imports later
    read them, and the processes that it starts.

    Raises:
        SettingsError: a setting is wrong.
    """
    settings = load_settings({"data": data, **flags})
    if settings.aggregates:
        os.environ[AGGREGATES] = ",".join(settings.aggregates)
    return settings
