"""The folder of the embedded nats-server, `<data>/nats`: its lock, and the files in it.

    lock                  held by the service and by its child: as long as one of them lives, others stay out
    credentials.json      the users' logins, made once, so that a URL handed out stays good
    port                  the last port
    nats-server.conf      written anew for each start
    nats-server.log       and the older one beside it
    *.ports               written by nats-server when it listens
    jetstream/            the streams

The folder is 0700 and what is secret in it 0600.
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
# nats-server's own word for "any that is free".
ANY_PORT = -1
# The largest message, as the contract says; nats-py raises before it sends a larger one.
MAXIMUM_PAYLOAD_BYTES = 1024 * 1024
# A nats-server that could not write is started again once there is more than this.
ROOM_BYTES = 16 * 1024 * 1024
# How often a lock is tried: nothing tells when another process releases it.
LOCK_POLL_INTERVAL_MS = 50


class NatsServerError(RuntimeError):
    """The embedded nats-server is not there; the message says why, `hint` what to do.

    NatsServerError
    ├── PortTakenError      somebody else listens on the port that was asked for
    └── StoreInUseError     another nats-server uses the same files
    """

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class PortTakenError(NatsServerError):
    """Somebody else listens on the port that was asked for."""


class StoreInUseError(NatsServerError):
    """A nats-server of another service, or one left over by a killed service, uses the same files."""


class NatsHome:
    """The folder, made where there is none."""

    def __init__(self, data: Path, *, set_aside_bytes: int = 0) -> None:
        """`set_aside_bytes` is the most that streams may have together which have a limit."""
        self._set_aside_bytes = set_aside_bytes
        # Absolute: the child gets paths, and the service may change its working directory.
        self.path = data.resolve() / "nats"
        self.log = self.path / "nats-server.log"
        self._credentials = self.path / "credentials.json"
        self._make_folder()

    async def lock(self, timeout_ms: int) -> int:
        """A descriptor that holds the folder until it, and each copy a child inherited, is closed.

        Two nats-servers would start happily on one folder and destroy each other's streams.

        Raises:
            StoreInUseError: somebody else still held it after `timeout_ms`.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + timeout_ms / 1000
        try:
            while True:
                # flock, not POSIX locks: it belongs to the open file, so a child inherits it.
                with suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return descriptor
                self._require_time_before(deadline)
                await asyncio.sleep(LOCK_POLL_INTERVAL_MS / 1000)
        except BaseException:
            os.close(descriptor)
            raise

    def logins(self, *, renews_own: bool) -> Logins:
        """Each user's login; made at the first call, and for a user who is new.

        Raises:
            NatsServerError: the file is not what was written there.
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
        """The logins are on disk when this returns."""
        content = msgspec.json.encode(logins.as_kept())
        if not self._credentials.exists() or self._credentials.read_bytes() != content:
            write_private(self._credentials, content)

    def last_port(self) -> int | None:
        """The port that was listened on the last time, if that is known."""
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
        """The configuration file, for a start or to be read again.

        A folder that was wiped under a running service is there again, with the credentials in use.
        """
        self._make_folder()
        self.keep(logins)
        path = self.path / "nats-server.conf"
        own = {user: logins.current(user).password for user in OWN}
        write_private(path, server_configuration(names, own, users, settings))
        return path

    def forget_port(self) -> None:
        """What earlier children reported is gone when this returns."""
        for report in self.path.glob("*.ports"):
            report.unlink()

    def reported_port(self) -> int | None:
        """The port that the child started last listens on; None while it does not."""
        for report in self.path.glob("*.ports"):
            content = report.read_bytes()
            # The file exists before its content is complete.
            if content.endswith(b"}"):
                addresses = msgspec.json.decode(content, type=dict[str, list[str]])["nats"]
                return int(addresses[0].rpartition(":")[2])
        return None

    def _make_folder(self) -> None:
        make_folder(self.path)
        # A folder that was there, perhaps a copy, may be open to others.
        self.path.chmod(0o700)

    def _require_time_before(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise StoreInUseError(
                f"the streams in {self.path} are in use by another service, or by a nats-server that a killed"
                " service left behind",
                hint=f"end it (`fuser {self.path / 'lock'}` names it), or choose another data directory",
            )

    def settings(self, port: int) -> dict[str, Any]:
        """All but the users of the configuration, for one start: its limits follow the room that there is."""
        # It may have been wiped.
        self._make_folder()
        return {
            "host": LOOPBACK,
            "port": port,
            "server_name": "hyperpage",
            "max_payload": MAXIMUM_PAYLOAD_BYTES,
            "ports_file_dir": str(self.path),
            # Each inbox and event has a subject of its own, which is looked up once: a cache of the last
            # thousand costs more than it saves.
            "no_sublist_cache": True,
            # Every refused message is a line in the log, and a misbehaving client must not fill the disk.
            "log_file": str(self.log),
            "logfile_size_limit": 8 * 1024 * 1024,
            "logfile_max_num": 2,
            "jetstream": {
                "store_dir": str(self.path),
                "max_memory_store": 256 * 1024 * 1024,
                "max_file_store": self._streams_limit_bytes(),
                # The longest time from an acknowledgement to its fsync, in the background. It costs nothing
                # that could be measured. `always` slows events from 40,000 a second to 2,600, and SQLite has
                # them anyway; with the default, 2 minutes, a power cut would lose more durable commands.
                "sync_interval": "1s",
            },
        }

    def has_room(self) -> bool:
        """Whether a nats-server that could not write may find room on the disk of the streams now."""
        try:
            return shutil.disk_usage(self.path).free > ROOM_BYTES
        except OSError:
            return False

    def _streams_limit_bytes(self) -> int:
        """The bytes that the streams have, and three quarters of those that are free; the rest is for SQLite.

        nats-server's own default leaves out what the streams have already, so that a full stream is refused
        more messages after a restart. It also sets aside the most that each stream may have, and where that
        is more than this, it takes no change of any stream. So on a disk with less room, it is that.
        """
        streams = self.path / "jetstream"
        free = shutil.disk_usage(self.path).free
        held = sum(file.stat().st_size for file in streams.rglob("*") if file.is_file())
        set_aside = sum(map(_reserved_bytes, streams.glob("*/streams/*/meta.inf")))
        return max(held + free * 3 // 4, self._set_aside_bytes, set_aside + 1024 * 1024)


def _reserved_bytes(stream: Path) -> int:
    """The most that a stream may have, by the file in which nats-server keeps its configuration."""
    try:
        return max(0, int(msgspec.json.decode(stream.read_bytes())["max_bytes"]))
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError):
        # nats-server leaves out a stream whose file it cannot read.
        return 0
