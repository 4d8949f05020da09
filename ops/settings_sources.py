"""The sources of settings: flags, then the environment, then a file, then the defaults.

A setting `reader_connections` is `--reader-connections` in commands that take it, the variable
`HYPERPAGE_READER_CONNECTIONS`, and `reader_connections = 20` in `hyperpage.toml`: the one in the data
directory, or the one that `HYPERPAGE_CONFIG` names (`ops/deploy/hyperpage.toml` has all settings). An empty
variable counts as not set. A variable that names no setting is ignored, since other programs may use the
prefix `HYPERPAGE_` too; an unknown name in the file is an error.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from ops.settings import Settings, SettingsError

FILE = "hyperpage.toml"
_VARIABLE = "HYPERPAGE_"


def load_settings(
    flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """The settings: flags (those that are not `None`) before variables before the file before the defaults.

    Raises:
        SettingsError: a setting is unknown, or its value is invalid.
    """
    environment = os.environ if environment is None else environment
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    variables = {
        name.removeprefix(_VARIABLE).lower(): value
        for name, value in environment.items()
        if name.startswith(_VARIABLE) and value
    }
    named_file = variables.pop("config", None)
    variables = {name: value for name, value in variables.items() if name in Settings.__struct_fields__}
    data = Path(given.get("data") or variables.get("data") or "data").expanduser()
    file = Path(named_file).expanduser() if named_file else data / FILE
    from_file = _read_file(file, required=named_file is not None)
    merged = _converted(from_file, strict=True, spelling=lambda name: f"{file}: {name}")
    merged |= _converted(variables, strict=False, spelling=lambda name: _VARIABLE + name.upper())
    merged |= _converted(given, strict=True, spelling=lambda name: "--" + name.replace("_", "-"))
    settings = Settings(**merged)
    # Not `settings.names`: it loads the aggregates, and these settings may say which ones there are.
    settings.require_prefixes()
    settings.allowed_secrets  # noqa: B018 - raises if a path is invalid
    settings.outside_nats  # noqa: B018 - raises if a nats-server has no address
    settings.places  # noqa: B018 - raises if a bucket's address or a public key is invalid
    settings.http_tls  # noqa: B018 - raises if one of the files is not set
    http_address(settings)
    return settings


def http_address(settings: Settings) -> tuple[str, int | None]:
    """Host and port of the HTTP API; a port of `None` means the usual one or a free one.

    Raises:
        SettingsError: the setting `http` is no address.
    """
    if settings.http is None:
        return "127.0.0.1", None
    host, separator, port = settings.http.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (separator and host and port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise SettingsError(f"http: {settings.http!r} is not HOST:PORT, as 127.0.0.1:8822 or [::1]:8822 are")
    return host, int(port)


def _read_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if required:
            raise SettingsError(f"there is no file {path}") from None
        return {}
    except OSError as error:
        # Imported here, since it loads SQLite, which is needed for this error alone.
        from ops.store.troubles import hint_of

        unread = SettingsError(f"{path} cannot be read: {error.strerror}")
        unread.hint = hint_of(error)
        raise unread from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None


def _converted(values: Mapping[str, Any], *, strict: bool, spelling: Callable[[str], str]) -> dict[str, Any]:
    """Values converted to their settings' types; `spelling` gives a setting's name as the user wrote it."""
    fields = {field.name: field for field in msgspec.structs.fields(Settings)}
    converted = {}
    for name, value in values.items():
        if name not in fields:
            raise SettingsError(f"{spelling(name)}: there is no such setting")
        kind = fields[name].type
        try:
            plain = str(value) if isinstance(value, Path) else value
            if isinstance(value, str) and get_origin(kind) is tuple:
                plain = [each.strip() for each in value.split(",")]
            converted[name] = msgspec.convert(plain, kind, strict=strict, dec_hook=_path)
        except msgspec.ValidationError as error:
            choice = f"; it is one of {', '.join(get_args(kind))}" if get_origin(kind) is Literal else ""
            raise SettingsError(f"{spelling(name)}: {error}{choice}") from None
    return converted


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value).expanduser()
    raise msgspec.ValidationError(f"Expected `str`, got {value!r}")
