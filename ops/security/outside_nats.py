"""The configuration of a service's users for an operator's own nats-server: `write_configuration`."""

from pathlib import Path

import msgspec

from bus.broker.accounts import accounts_configuration
from bus.broker.users import ADMIN, APP, RELAY, RESPONDER, BrokerUser
from bus.kept_files import make_folder, write_private
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.nkeys import NKey, new_seed
from ops.security.registry import Registry
from ops.settings import Settings

FILE = "hyperpage.conf"
ROLES = (RELAY, RESPONDER, APP, ADMIN)
_HEAD = """# Written by `hyperpage nats-config`: accounts, users and rights of a hyperpage service.
# Public keys alone, no secret. Included in the accounts of a nats-server: accounts { include hyperpage.conf }
"""


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """The file with the accounts, and the settings with which a service logs in there."""

    configuration: str
    settings: dict[str, str]


def users_of(data: Path) -> list[BrokerUser]:
    """The users of their own as a broker is to know them, read from the file now.

    Raises:
        UserError: the file cannot be read.
    """
    return Registry(data).broker_users


def write_configuration(settings: Settings, folder: Path, *, rotate: bool = False) -> Written:
    """Writes the accounts into a folder, and beside them a key for each role that has none yet.

    With `rotate`, each role gets a new key, and the nats-server also accepts the one before it, until this is
    called again without `rotate`. Seeds are in files that only their owner can read.

    Raises:
        OSError: the folder cannot be written.
        UserError: the users of their own cannot be read.
        SeedError: one of the files there is no seed.
    """
    users = users_of(settings.data)
    folder = folder.absolute()
    make_folder(folder)
    keys = {role: _keys(folder / f"{role}.nk", rotate=rotate) for role in ROLES}
    configuration = folder / FILE
    write_private(configuration, _accounts(settings.names, keys, users).encode())
    return Written(
        configuration=str(configuration),
        settings={
            "nats_credentials": str(folder / f"{APP}.nk"),
            **{f"nats_{role}_credentials": str(folder / f"{role}.nk") for role in (RELAY, RESPONDER, ADMIN)},
        },
    )


def _keys(file: Path, *, rotate: bool) -> list[dict[str, str]]:
    """The present public key of a role, whose seed is in a file, and the one before it if that is kept."""
    before = file.with_suffix(".old.nk")
    if rotate and file.exists():
        file.replace(before)
    elif not rotate:
        before.unlink(missing_ok=True)
    if not file.exists():
        write_private(file, f"{new_seed()}\n".encode())
    return [{"nkey": NKey(one.read_text()).public} for one in (file, before) if one.exists()]


def _accounts(names: BusNames, keys: dict[str, list[dict[str, str]]], users: list[BrokerUser]) -> str:
    own = [BrokerUser(name=role, credentials=tuple(keys[role])) for role in (APP, ADMIN)]
    accounts = accounts_configuration(names, keys, [*own, *users])
    bodies = (
        f'"{name}": {msgspec.json.format(msgspec.json.encode(account), indent=1).decode()}'
        for name, account in accounts.items()
    )
    return _HEAD + "\n".join(bodies)
