"""The layout of generated sources, which are readable without a formatter."""

from ops.contract.client_types.python.layout import WIDTH, module

IMPORTS = {"date": "datetime", "Any": "typing", "Loop": "elsewhere:Client"}


def laid_out(*body: str) -> list[str]:
    return module(['"""Said."""'], IMPORTS, body).splitlines()


def test_what_is_used_is_imported_and_nothing_else() -> None:
    lines = laid_out(
        "class One:", "    def date(self, Any: int, loop: Loop) -> None:", "        return given(Any)"
    )

    assert [line for line in lines if "import" in line][1:] == ["from elsewhere import Client as Loop"]


def test_a_type_is_renamed_in_a_class_that_has_a_member_of_its_name() -> None:
    lines = laid_out(
        "class Day:", "    date: date", "    naïve: dict[str, date]", "class Other:", "    on: date"
    )

    assert [line for line in lines if "date" in line] == [
        "from datetime import date",
        "    date: _date",
        "    naïve: dict[str, _date]",
        "    on: date",
        "_date = date",
    ]


def test_a_line_that_is_too_long_is_parted_at_its_commas_and_a_text_is_not() -> None:
    text = f'"a, (b{"x" * 80}"'
    lines = laid_out(
        "class One:", f'    """Said, (at length){" again" * 20}."""', f"    one: Any = [{text}, {{1: 2}}]"
    )

    assert f'    """Said, (at length){" again" * 20}."""' in lines
    assert lines[-4:] == ["    one: Any = [", f"        {text},", "        {1: 2},", "    ]"]
    assert all(len(line) <= WIDTH for line in lines[-4:])
