"""The table as a guide has it, between two marks in its file that say where it belongs."""

from pathlib import Path

from tests.benchmarks.core.rows import Kept

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def put_into(file: Path, kept: Kept) -> None:
    """Writes the table between the marks, in the place of the one before.

    Raises:
        ValueError: the file has no such marks.
    """
    text = file.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{file} does not say where the table belongs: {BEGIN} … {END}")
    file.write_text(f"{before}{BEGIN}\n{markdown(kept)}\n{END}{after}", encoding="utf-8")


def markdown(kept: Kept) -> str:
    """The table, and the machine above it. A target that is reached is in bold."""
    lines = [
        f"{kept.title}:",
        "",
        "| what | median | least … most | aimed at | made of |",
        "|---|---|---|---|---|",
    ]
    for _, row in kept.rows:
        value = f"**{row.value}**" if row.is_met else row.value or "–"
        cells = (row.what, value, row.spread, row.aim, row.beside)
        lines.append(f"| {' | '.join(one.replace('|', '/') for one in cells)} |")
    return "\n".join(lines)
