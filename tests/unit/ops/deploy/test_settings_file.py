"""The file of settings that is shipped: it names each one, with its meaning and its default."""

import ast
import inspect
import re
import tomllib
from pathlib import Path

import msgspec

from ops import deploy
from ops.settings import Settings
from ops.settings_sources import load_settings

SHIPPED = Path(deploy.__file__).with_name("hyperpage.toml").read_text(encoding="utf-8")
# A setting is one line, behind a # without a space; what explains it, the comment before.
ENTRIES = re.findall(r"((?:^# .*\n)+)^#(\w+) = (.*)$", SHIPPED, re.MULTILINE)
EXPLAINED = {
    name: " ".join(comment.replace("\n#", "\n").removeprefix("#").split()) for comment, name, _ in ENTRIES
}
VALUES = tomllib.loads("\n".join(f"{name} = {value}" for _, name, value in ENTRIES))


def meanings() -> dict[str, str]:
    """The docstring of each setting in the program's source."""
    kinds = Settings.__mro__[: Settings.__mro__.index(msgspec.Struct)]
    classes = [
        one
        for kind in kinds
        for one in ast.parse(inspect.getsource(kind)).body
        if isinstance(one, ast.ClassDef)
    ]
    pairs = [pair for one in classes for pair in zip(one.body, one.body[1:], strict=False)]
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairs
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def test_each_setting_is_in_the_file_once_in_the_programs_words():
    assert [name for _, name, _ in ENTRIES] == list(Settings.__struct_fields__)
    assert meanings() == EXPLAINED


def test_each_default_is_the_programs_own():
    for field in msgspec.structs.fields(Settings):
        default = field.default if field.default is not msgspec.NODEFAULT else None
        if default is not None:
            said = VALUES[field.name]
            assert (tuple(said) if isinstance(said, list) else said) == msgspec.to_builtins(
                default, enc_hook=str
            ), field.name


def test_as_it_is_the_file_changes_nothing_and_each_line_of_it_can_be_taken(tmp_path: Path):
    (tmp_path / "hyperpage.toml").write_text(SHIPPED, encoding="utf-8")
    assert load_settings({"data": tmp_path}, {}) == Settings(data=tmp_path)

    (tmp_path / "all.toml").write_text(re.sub(r"^#(\w+ = )", r"\1", SHIPPED, flags=re.MULTILINE), "utf-8")
    everything = load_settings({}, {"HYPERPAGE_CONFIG": str(tmp_path / "all.toml")})
    for field in msgspec.structs.fields(Settings):
        assert getattr(everything, field.name) is not None


def test_the_command_line_goes_before_a_variable_and_that_before_the_file(tmp_path: Path):
    (tmp_path / "hyperpage.toml").write_text(
        SHIPPED.replace("#reader_connections = 20", "reader_connections = 7")
        .replace("#log_level = ", "log_level = ")
        .replace('#prefix = "hyperpage"', 'prefix = "file"')
    )
    loaded = load_settings(
        {"data": tmp_path, "prefix": "flag"}, {"HYPERPAGE_PREFIX": "variable", "HYPERPAGE_LOG_LEVEL": "ERROR"}
    )
    assert (loaded.reader_connections, loaded.log_level, loaded.prefix) == (7, "ERROR", "flag")
