"""The sources of settings, their order, and the errors for wrong ones."""

from pathlib import Path

import pytest

from ops.settings import Settings, SettingsError
from ops.settings_sources import load_settings


def write(directory: Path, text: str, name: str = "hyperpage.toml") -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


def test_without_anything_said_every_setting_has_its_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_settings({}, {}) == Settings()
    assert Settings().data == Path("data")


def test_a_flag_goes_before_a_variable_before_the_file_before_the_default(tmp_path):
    write(tmp_path, 'prefix = "file"\nreader_connections = 3\nwriter_cache_kib = 2048\n')
    environment = {"HYPERPAGE_PREFIX": "variable", "HYPERPAGE_READER_CONNECTIONS": "5"}
    settings = load_settings({"data": tmp_path, "prefix": "flag"}, environment)
    assert (settings.prefix, settings.reader_connections, settings.writer_cache_kib) == ("flag", 5, 2048)
    assert settings.reader_idle_seconds == 30.0


def test_a_flag_that_was_not_given_hides_nothing(tmp_path):
    settings = load_settings({"data": tmp_path, "prefix": None}, {"HYPERPAGE_PREFIX": "variable"})
    assert settings.prefix == "variable"


def test_an_empty_variable_counts_as_not_set(tmp_path):
    settings = load_settings({"data": tmp_path}, {"HYPERPAGE_NATS": "", "HYPERPAGE_NATS_PORT": ""})
    assert (settings.nats, settings.nats_port) == (None, None)


def test_a_variable_that_names_no_setting_is_passed_over(tmp_path):
    assert load_settings({"data": tmp_path}, {"HYPERPAGE_TEST_IMAGE": "x"}) == Settings(data=tmp_path)


def test_the_data_directory_can_come_from_a_variable_and_from_the_named_file(tmp_path):
    assert load_settings({}, {"HYPERPAGE_DATA": str(tmp_path)}).data == tmp_path
    named = write(tmp_path, f'data = "{tmp_path}/elsewhere"\n', "named.toml")
    assert load_settings({}, {"HYPERPAGE_CONFIG": str(named)}).data == tmp_path / "elsewhere"


def test_the_file_lies_in_the_data_directory_that_a_flag_names(tmp_path):
    write(tmp_path, "nats_port = 4300\nreader_wait_seconds = 2\n")
    settings = load_settings({"data": tmp_path}, {"HYPERPAGE_DATA": "/nowhere"})
    assert (settings.nats_port, settings.reader_wait_seconds) == (4300, 2.0)


def test_a_tilde_is_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings({"data": Path("~/store")}, {}).data == tmp_path / "store"


@pytest.mark.parametrize(
    ("flags", "environment", "said"),
    [
        ({"nats_port": 70_000}, {}, "--nats-port: Expected `int` <= 65535"),
        ({"nats_ports": 1}, {}, "--nats-ports: there is no such setting"),
        ({}, {"HYPERPAGE_READER_CONNECTIONS": "many"}, "HYPERPAGE_READER_CONNECTIONS: Expected `int`"),
        ({}, {"HYPERPAGE_READER_CONNECTIONS": "0"}, "HYPERPAGE_READER_CONNECTIONS: Expected `int` >= 1"),
        ({"log_level": "debug"}, {}, "it is one of DEBUG, INFO, WARNING, ERROR"),
        ({"prefix": "a b"}, {}, "'a b' is no prefix"),
        ({}, {"HYPERPAGE_INBOX_PREFIX": "hyperpage.x."}, "must lie outside"),
        ({}, {"HYPERPAGE_CONFIG": "/nowhere/named.toml"}, "there is no file /nowhere/named.toml"),
    ],
)
def test_a_wrong_setting_is_named_as_the_user_wrote_it(tmp_path, flags, environment, said):
    with pytest.raises(SettingsError) as error:
        load_settings({"data": tmp_path, **flags}, environment)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("readers = 1\n", "readers: there is no such setting"),
        ('nats_port = "4222"\n', "nats_port: Expected `int | null`, got `str`"),
        ("nats_port = \n", "cannot be read"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong_in_it(tmp_path, text, said):
    path = write(tmp_path, text)
    with pytest.raises(SettingsError) as error:
        load_settings({"data": tmp_path}, {})
    assert str(path) in str(error.value)
    assert said in str(error.value)
