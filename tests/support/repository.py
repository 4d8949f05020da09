"""The folder of the repository: programs are started there, guides and samples read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
