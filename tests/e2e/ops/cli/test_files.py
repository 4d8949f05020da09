"""The files for a deployment come out of the program as they were put in."""

from pathlib import Path

from ops import deploy
from tests.support.services.command_line import hyperpage

FOLDER = Path(deploy.__file__).parent


def test_every_file_is_listed_and_printed_as_it_is():
    listed = [one["name"] for one in hyperpage("files", "--json").json]
    assert sorted(listed) == sorted(
        one.name for one in FOLDER.iterdir() if one.is_file() and one.suffix != ".py"
    )
    for name in listed:
        assert hyperpage("files", name).out == (FOLDER / name).read_text(encoding="utf-8")
    assert listed[0] in hyperpage("files").out


def test_a_file_that_there_is_not_is_not_found():
    result = hyperpage("files", "passwords.txt")
    assert (result.code, "hyperpage files" in result.err) == (3, True)
