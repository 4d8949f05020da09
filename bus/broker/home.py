"""The folder of the embedded nats-server, `<data>/nats`: its lock, and the files in it.

    lock                  held by the service and by its child: while one of them lives, no other starts
    credentials.json      the users' logins, kept, so that a URL handed out stays valid
    port                  the last port
    nats-server.conf      written anew for each start
    nats-server.log       with the older one beside it
    *.ports               written by nats-server when it listens
    jetstream/            the streams

The folder has the mode 0700, and secret files in it have 0600.
"""

import asyncio
import fcntl
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from bus.broker.accounts import server_configuration
from bus.broker.logins import OWN, Login, Logins
from bus.broker.users import BrokerUser
from bus.kept_files import make_folder, write_private
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.documents import decoded

_decode_logins = msgspec.json.Decoder(dict[str, tuple[Login, ...] | str]).decode
LOOPBACK = "127.0.0.1"
# nats-server's own value for "any free port".
ANY_PORT = -1
# The largest message, as the contract says; nats-py raises before it sends a larger one.
MAXIMUM_PAYLOAD_BYTES = 1024 * 1024
# A nats-server that could not write is started again once the disk has more free bytes than this.
ROOM_BYTES = 16 * 1024 * 1024
# How often the lock is tried: nothing tells when another process releases it.
LOCK_POLL_INTERVAL_MS = 50


class NatsServerError(RuntimeError):
    """The embedded nats-server does not run; the message says why, `hint` what to do.

    NatsServerError
    ├── PortTakenError      another program listens on the port that was asked for
    └── StoreInUseError     another nats-server uses the same files
    """

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class PortTakenError(NatsServerError):
    """Another program listens on the port that was asked for."""


class StoreInUseError(NatsServerError):
    """A nats-server of another service, or one left behind by a killed service, uses the same files."""


class NatsHome:
    """The folder; it is made if it is missing."""

    def __init__(self, data: Path, *, set_aside_bytes: int = 0) -> None:
        """`set_aside_bytes` is the sum of the limits of all streams that have one."""
        self._set_aside_bytes = set_aside_bytes
        # Absolute, because the child gets paths, and the service may change its working directory.
        self.path = data.resolve() / "nats"
        self.log = self.path / "nats-server.log"
        self._credentials = self.path / "credentials.json"
        self._make_folder()

    async def lock(self, timeout_ms: int) -> int:
        """A descriptor that locks the folder until it, and each copy that a child inherited, is closed.

        Without the lock, two nats-servers would start on one folder and destroy each other's streams.

        Raises:
            StoreInUseError: another process still held the lock after `timeout_ms`.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + timeout_ms / 1000
        try:
            while True:
                # `flock` and not a POSIX lock: it belongs to the open file, so a child inherits it.
                with suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return descriptor
                self._require_time_before(deadline)
                await asyncio.sleep(LOCK_POLL_INTERVAL_MS / 1000)
        except BaseException:
            os.close(descriptor)
            raise

    def logins(self, *, renews_own: bool) -> Logins:
        """The logins of all users. A user that has none yet gets one, which is kept.

        Raises:
            NatsServerError: the file is damaged.
        """
        path = self._credentials
        try:
            content = path.read_bytes() if path.exists() else b"{}"
            kept = decoded(_decode_logins, content)
        except msgspec.DecodeError as error:
            raise NatsServerError(
                f"{path} is damaged ({error})",
                hint="put it back as it was; or move it away: others are made then, and who has the old ones"
                " is not let in",
            ) from error
        logins = Logins(kept, renews_own=renews_own)
        self.keep(logins)
        return logins

    def keep(self, logins: Logins) -> None:
        """Returns when the logins are on disk."""
        content = msgspec.json.encode(logins.as_kept())
        if not self._credentials.exists() or self._credentials.read_bytes() != content:
            write_private(self._credentials, content)

    def last_port(self) -> int | None:
        """The port of the last run, if it is known."""
        try:
            return int((self.path / "port").read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def remember_port(self, port: int) -> None:
        write_private(self.path / "port", str(port).encode())

    def write_configuration(
        self,
        names: BusNames,
        logins: Logins,
        users: Sequence[BrokerUser],
        settings: Mapping[str, Any],
    ) -> Path:
        """The path of the configuration file, which is written for a start, or to be read again.

        If the folder was deleted under a running service, it is made again, with the credentials in use.
        """
        self._make_folder()
        self.keep(logins)
        path = self.path / "nats-server.conf"
        own = {user: logins.current(user).password for user in OWN}
        write_private(path, server_configuration(names, own, users, settings))
        return path

    def forget_port(self) -> None:
        """Deletes the ports that earlier children reported."""
        for report in self.path.glob("*.ports"):
            report.unlink()

    def reported_port(self) -> int | None:
        """The port on which the child listens that was started last; `None` while it does not listen."""
        for report in self.path.glob("*.ports"):
            content = report.read_bytes()
            # The file exists before its content is complete.
            if content.endswith(b"}"):
                addresses = msgspec.json.decode(content, type=dict[str, list[str]])["nats"]
                return int(addresses[0].rpartition(":")[2])
        return None

    def _make_folder(self) -> None:
        make_folder(self.path)
        # A folder that existed before, perhaps a copy, may be readable by other users of the machine.
        self.path.chmod(0o700)

    def _require_time_before(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise StoreInUseError(
                f"the streams in {self.path} are in use by another service, or by a nats-server that a killed"
                " service left behind",
                hint=f"end it (`fuser {self.path / 'lock'}` names it), or choose another data directory",
            )

    def settings(self, port: int) -> dict[str, Any]:
        """The configuration without its users, for one start: limits depend on the disk's free space."""
        # The folder may have been deleted.
        self._make_folder()
        return {
            "host": LOOPBACK,
            "port": port,
            "server_name": "hyperpage",
            "max_payload": MAXIMUM_PAYLOAD_BYTES,
            "ports_file_dir": str(self.path),
            # Each inbox and each event has a subject of its own, which is looked up once: the cache of the
            # last thousand subjects costs more than it saves.
            "no_sublist_cache": True,
            # Every refused message is a line in the log, and a misbehaving client must not fill the disk.
            "log_file": str(self.log),
            "logfile_size_limit": 8 * 1024 * 1024,
            "logfile_max_num": 2,
            "jetstream": {
                "store_dir": str(self.path),
                "max_memory_store": 256 * 1024 * 1024,
                "max_file_store": self._streams_limit_bytes(),
                # The longest time from an acknowledgement to its fsync, which runs in the background. It has
                # no measurable cost. `always` slows events from 40,000 a second to 2,600, and SQLite has them
                # anyway; with the default, 2 minutes, a power cut would lose more durable commands.
                "sync_interval": "1s",
            },
        }

    def has_room(self) -> bool:
        """Whether the disk of the streams has room again for a nats-server that could not write."""
        try:
            return shutil.disk_usage(self.path).free > ROOM_BYTES
        except OSError:
            return False

    def _streams_limit_bytes(self) -> int:
        """The limit of all streams together: what they have, and three quarters of the free bytes.

        The rest is for SQLite. nats-server's own default leaves out what the streams have already, so that
        streams that have much would be refused more messages after a restart. nats-server also reserves the
        limit of each stream, and if their sum is over this limit, it refuses every change of a stream. So
        the limit is at least that sum, even if the disk has less room.
        """
        streams = self.path / "jetstream"
        free = shutil.disk_usage(self.path).free
        held = sum(file.stat().st_size for file in streams.rglob("*") if file.is_file())
        set_aside = sum(map(_reserved_bytes, streams.glob("*/streams/*/meta.inf")))
        return max(held + free * 3 // 4, self._set_aside_bytes, set_aside + 1024 * 1024)


def _reserved_bytes(stream: Path) -> int:
    """The limit of a stream in bytes, from the file in which nats-server keeps its configuration."""
    try:
        return max(0, int(msgspec.json.decode(stream.read_bytes())["max_bytes"]))
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError):
        # nats-server ignores a stream whose file it cannot read.
        return 0
