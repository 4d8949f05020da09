"""The options that name a lake, and its folder."""

from pathlib import Path
from typing import Annotated

from ops.cli.terminal.options import option, settings_for

LakeOption = Annotated[Path | None, option("The lake's folder. Default: DIR/lake.", name="--lake")]
SnapshotOption = Annotated[
    str | None, option("Show the snapshot of this backup. Default: the newest one.", name="--snapshot")
]


def lake_folder(lake: Path | None, data: Path | None) -> Path:
    """The folder that was named, or the one in the data directory."""
    return settings_for(data).data / "lake" if lake is None else lake
